"""The explorer's page: template, style, scripts and data in one HTML file."""

import base64
import html
import io
import json
import math
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.io.folders import write_bytes
from recon.io.meshes.glb import uncertainty_colors
from recon.report.explorer.pack import pack_view
from recon.report.explorer.view import SceneView
from recon.scenes.navigation import Body

#: In the order in which they are read; they share one scope.
_SCRIPTS = ("data", "math", "shaders", "draw", "splats", "collide", "walk", "input", "tour", "panel", "main")
#: Field of view from top to bottom where no camera is given, in degrees.
_FOV = 60.0
#: Quantile of all uncertainties that is the upper end of the ramp.
_TOP = 0.95
_POSTER_SIZE = 960


def write_explorer(path: str | os.PathLike, hypotheses: Sequence[SceneView], **contents: Any) -> Path:
    """Write :func:`render_explorer`'s page atomically; returns the file."""
    return write_bytes(path, render_explorer(hypotheses, **contents).encode())


def render_explorer(
    hypotheses: Sequence[SceneView],
    photo: Float[Tensor, "3 h w"] | Image.Image | None = None,
    start: Cameras | None = None,
    camera_path: Cameras | None = None,
    metres: float = 1.0,
    title: str = "Explore the scene",
    uncertainty_label: str = "spread of the hypotheses",
) -> str:
    """The page as HTML.

    Args:
        hypotheses: Hypotheses of one scene, in the order of their buttons.
        photo: Shown beside the scene, and in its place where the browser has no WebGL 2.
        start: The photo's camera [1]; by default at the origin, level, 60 degrees high.
        camera_path: Cameras [v] of a tour, one second apart; no tour by default.
        meters: Length of a world unit, for the walker's size and the figures shown.
        title: Heading of the page.
        uncertainty_label: What the mesh's attribute ``uncertainty`` measures.

    Raises:
        InputError: There is no hypothesis.
    """
    if not hypotheses:
        raise InputError("The explorer needs at least one hypothesis: name a folder with a finished scene.")
    top = uncertainty_top(hypotheses)
    headers, blobs = zip(*(pack_view(view, top) for view in hypotheses), strict=True)
    for k, (header, view) in enumerate(zip(headers, hypotheses, strict=True)):
        header |= {"name": view.name or f"#{k}", "weight": view.weight}
    scenes = {
        "hypotheses": headers,
        "start": _poses(start)[0] if start is not None else {"at": [0.0, 0.0, 0.0], "yaw": 0.0, "pitch": 0.0},
        "fov": _vertical_fov(start),
        "tour": [] if camera_path is None else _poses(camera_path),
        "metres": metres,
        "body": _body(metres),
        "uncertainty": {"top": top, "label": uncertainty_label, "ramp": uncertainty_colors()[::16].tolist()},
    }
    page = Template(_file("page.html"))
    return page.substitute(
        title=html.escape(title),
        style=_file("page.css"),
        script="\n".join(_file(f"{name}.js") for name in _SCRIPTS),
        poster=_poster(photo),
        scenes=json.dumps(scenes, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        blobs="\n".join(f'<script type="text/plain" id="scene-{k}">{blob}</script>' for k, blob in enumerate(blobs)),
    )


def uncertainty_top(hypotheses: Sequence[SceneView]) -> float:
    """The value at the upper end of the ramp that all hypotheses share."""
    values = torch.cat([view.per_vertex("uncertainty") for view in hypotheses]).numpy()
    values = values[np.isfinite(values)]
    top = float(np.quantile(values, _TOP)) if len(values) else 0.0
    return top if top > 0 else float(values.max(initial=0.0)) or 1.0


def _file(name: str) -> str:
    return resources.files("recon.report.explorer").joinpath(name).read_text("utf-8")


def _body(metres: float) -> dict[str, float]:
    body = Body.person(metres)
    return {"height": body.height, "radius": body.radius, "step": body.step}


def _poses(cameras: Cameras) -> list[dict[str, Any]]:
    """Place, yaw (radians to the right of -Z) and pitch (radians upwards) of cameras; their roll is dropped."""
    poses = []
    for c2w in cameras.c2w.detach().cpu().double().reshape(-1, 4, 4):
        ahead = c2w[:3, 2]
        yaw, pitch = math.atan2(ahead[0], -ahead[2]), math.asin(max(-1.0, min(1.0, float(ahead[1]))))
        poses.append({"at": c2w[:3, 3].tolist(), "yaw": yaw, "pitch": pitch})
    return poses


def _vertical_fov(start: Cameras | None) -> float:
    """Field of view from top to bottom in radians."""
    if start is None:
        return math.radians(_FOV)
    focal = float(start.intrinsics.reshape(-1, 3, 3)[0, 1, 1])
    return 2 * math.atan(start.height / (2 * focal))


def _poster(photo: Float[Tensor, "3 h w"] | Image.Image | None) -> str:
    """The photo as an image element, or nothing."""
    if photo is None:
        return ""
    if isinstance(photo, Tensor):
        values = (photo.detach().cpu().clamp(0, 1) * 255).round().byte()
        photo = Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())
    picture = photo.convert("RGB")
    picture.thumbnail((_POSTER_SIZE, _POSTER_SIZE))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    uri = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/webp;base64,{uri}" alt="The photo that the scene was made from">'
