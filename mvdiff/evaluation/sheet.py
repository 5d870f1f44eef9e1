"""Contact sheets: what was asked, what is true, what was sampled and what was built of it."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.rendering import render_mesh

CELL = 96
HYPOTHESES = 3


def strip(
    title: str, reference: Image.Image, truth: ViewSet, sampled: ViewSet, meshes: Sequence[TexturedMesh]
) -> Image.Image:
    """One object: reference and true views (colors, normals), then the first hypotheses, sampled views and meshes.

    ``truth`` [1 v] and ``sampled`` [n v] share their cameras.
    """
    v, shown = truth.num_views, min(HYPOTHESES, len(meshes))
    sheet = Image.new("RGB", (CELL * (1 + 2 * v), CELL * (1 + shown)), "white")
    sheet.paste(_cell(reference), (0, 0))
    normals = truth if truth.normal is None else _normals(truth)
    for column, picture in enumerate([*_pictures(truth[0]), *_pictures(normals[0])]):
        sheet.paste(picture, (CELL * (1 + column), 0))
    for k in range(shown):
        rendered = render_mesh(meshes[k], sampled.cameras[k]) if len(meshes[k]) else None
        pictures = _pictures(sampled[k]) + ([] if rendered is None else _pictures(rendered))
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (CELL * (1 + column), CELL * (1 + k)))
    draw = ImageDraw.Draw(sheet)
    for row, line in enumerate(title.split("\n")):
        draw.text((2, CELL + 2 + 12 * row), line, fill="black")
    return sheet


def stack(strips: Sequence[Image.Image]) -> Image.Image:
    """Strips one below the other."""
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height + 4 for s in strips)), "gray")
    y = 0
    for picture in strips:
        sheet.paste(picture, (0, y))
        y += picture.height + 4
    return sheet


def _normals(views: ViewSet) -> ViewSet:
    return ViewSet(views.normal * 0.5 + 0.5, views.alpha, views.cameras)


def _pictures(views: ViewSet) -> list[Image.Image]:
    return [_cell(_image(view)) for view in views.composited(1.0)[0]]


def _image(rgb: Float[Tensor, "3 h w"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray((rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu()))


def _cell(picture: Image.Image) -> Image.Image:
    picture = picture.convert("RGBA").resize((CELL, CELL), Image.Resampling.BILINEAR)
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
