"""Draw the pictures of ``docs/concepts.md`` from a finished run: its sampled views, and sections of its posterior.

``python tools/draw_concepts.py out/mug docs/images``
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image, ImageDraw, ImageFont

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.folders import atomic_write
from recon.posterior import Posterior, load_posterior
from recon.report.pictures import paint, ramp, render_lit

INK, GRAY, PAPER = (24, 24, 27), (113, 113, 122), (255, 255, 255)
CELL, LABEL = 132, 34


@dataclass(frozen=True)
class Concepts:
    run: tyro.conf.Positional[Path]
    """Folder of a finished run."""
    output: tyro.conf.Positional[Path]
    """Folder for views.png and posterior.png."""
    hypothesis: int = 0
    """Index of the hypothesis whose views are drawn."""


def draw_views(sheet: Image.Image, cameras: Cameras) -> Image.Image:
    """Label a contact sheet: rows of albedo, normals and depth, columns by azimuth and elevation of ``cameras`` [v]."""
    x, y, z = (cameras.position / cameras.position.norm(dim=-1, keepdim=True)).unbind(-1)
    angles = torch.rad2deg(torch.stack([torch.atan2(x, z) % (2 * torch.pi), torch.asin(y)], -1)).tolist()
    rows, names = 3, ["albedo", "normals", "depth"]
    columns = sheet.width * rows // sheet.height
    page = Image.new("RGB", (90 + columns * CELL, LABEL + rows * CELL), PAPER)
    sheet = sheet.convert("RGBA").resize((columns * CELL, rows * CELL), Image.Resampling.LANCZOS)
    page.paste(sheet, (90, LABEL), sheet.getchannel("A"))
    for row, name in enumerate(names):
        _text(page, (45, LABEL + int((row + 0.5) * CELL)), name, INK)
    for column in range(columns):
        azimuth, elevation = angles[column]
        name = "the photo's own" if column == 0 else f"{azimuth:.0f}°, {elevation:+.0f}°"
        _text(page, (90 + int((column + 0.5) * CELL), LABEL // 2), name, GRAY)
    return page


def draw_posterior(posterior: Posterior, size: int = 260) -> Image.Image:
    """Draw the medoid colored by uncertainty beside horizontal sections of probability and entropy."""
    low, high = int(0.4 * posterior.grid.resolution), int(0.6 * posterior.grid.resolution)
    level = low + int(posterior.entropy.sum((0, 2))[low:high].argmax())
    mesh = paint(posterior.representative)
    back = Image.fromarray(render_lit(mesh, Cameras.orbit([150.0], 25.0, size=size))[0])
    fields = [posterior.probability[:, level].T, posterior.entropy[:, level].T]
    pictures = [back, *(_section(field.numpy(), size) for field in fields)]
    names = ["uncertainty of the surface, from behind", "probability of being inside", "entropy, bits"]
    page = Image.new("RGB", (3 * (size + 40), LABEL + size + LABEL), PAPER)
    for column, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left = column * (size + 40) + 20
        page.paste(picture, (left, LABEL), picture.getchannel("A"))
        _text(page, (left + size // 2, LABEL // 2), name, INK)
    _text(
        page, (page.width // 3 * 2, LABEL + size + LABEL // 2), "seen from above; the photo was taken from below", GRAY
    )
    return page


def _section(values: np.ndarray, size: int) -> Image.Image:
    """A slice [z x] as a picture with x to the right and z (towards the photo) down; clear where the value is 0."""
    alpha = (np.clip(values * 8, 0, 1) * 255).astype(np.uint8)
    pixels = np.concatenate([ramp(values.clip(0, 1)), alpha[..., None]], -1)
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.NEAREST)


def _text(page: Image.Image, middle: tuple[int, int], text: str, color: tuple[int, int, int]) -> None:
    ImageDraw.Draw(page).text(middle, text, fill=color, font=ImageFont.load_default(16), anchor="mm")


def main(config: Concepts) -> None:
    sheet = config.run / f"views/{config.hypothesis:03d}/sheet.png"
    if not sheet.is_file():
        raise InputError(f"'{sheet}' does not exist: give the folder of a finished `mvdiff generate`.")
    views = ViewSet.load(sheet.parent)
    pictures = {
        "views.png": draw_views(Image.open(sheet), views.cameras[0]),
        "posterior.png": draw_posterior(load_posterior(config.run)),
    }
    for name, picture in pictures.items():
        with atomic_write(config.output / name) as temporary:
            picture.save(temporary, "PNG", optimize=True)
        print(config.output / name)


if __name__ == "__main__":
    try:
        with torch.inference_mode():
            main(tyro.cli(Concepts, description=__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
