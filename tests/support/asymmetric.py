"""A seat with one arm: no mirror image or turn of it looks like itself."""

import numpy as np
import trimesh

from recon import Cameras, TexturedMesh, ViewSet
from recon.rendering import render_mesh

#: Corners and color of each box: a red base, and a green arm up at +X towards the viewer.
_BOXES = (
    ((-0.3, -0.3, -0.2), (0.3, -0.1, 0.2), (0.8, 0.1, 0.1)),
    ((0.15, -0.1, 0.05), (0.3, 0.3, 0.2), (0.1, 0.7, 0.1)),
)
AZIMUTHS, ELEVATIONS = (0.0, 30.0, 90.0, 150.0, 210.0, 270.0, 330.0), (10.0, 20.0, -10.0, 20.0, -10.0, 20.0, -10.0)


def seat() -> TexturedMesh:
    boxes = [trimesh.creation.box(bounds=[low, high]) for low, high, _ in _BOXES]
    faces = np.concatenate([box.faces + 8 * k for k, box in enumerate(boxes)])
    colors = np.repeat([color for *_, color in _BOXES], 8, 0)
    return TexturedMesh.from_arrays(np.concatenate([box.vertices for box in boxes]), faces, colors)


def orbits(size: int = 64) -> dict[str, Cameras]:
    """The same seven directions by pinholes, by orthographic cameras, and by both in turn."""
    pinholes = Cameras.orbit(list(AZIMUTHS), list(ELEVATIONS), size=size)
    parallel = pinholes.as_orthographic(0.55)
    pairs = zip(pinholes, parallel, strict=True)
    mixed = Cameras.stack([pair[k % 2] for k, pair in enumerate(pairs)])
    return {"pinholes": pinholes, "orthographic": parallel, "mixed": mixed}


def pictures(mesh: TexturedMesh, size: int = 64) -> dict[str, ViewSet]:
    return {name: render_mesh(mesh, cameras) for name, cameras in orbits(size).items()}
