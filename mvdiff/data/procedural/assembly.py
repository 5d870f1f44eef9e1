"""Parts and paints into one colored mesh."""

import numpy as np

from mvdiff.data.procedural.materials import Color, Paint, solid
from mvdiff.data.procedural.primitives import Part
from recon.core.mesh import TexturedMesh


class Builder:
    """Collects painted parts in the world of the object: front +Z, up +Y."""

    def __init__(self) -> None:
        self.vertices: list[np.ndarray] = []
        self.faces: list[np.ndarray] = []
        self.colors: list[np.ndarray] = []
        self.count = 0

    def add(self, part: Part, paint: Paint | Color, at=(0, 0, 0), rotate=(0, 0, 0), scale=1.0) -> "Builder":
        """Paint ``part`` in its own axes, then scale, turn (degrees) and move it."""
        paint = paint if isinstance(paint, Paint) else solid(paint)
        low, high = part.vertices.min(0), part.vertices.max(0)
        local = (part.vertices - (low + high) / 2) / ((high - low) / 2).clip(1e-9)
        moved = part.moved(at, rotate, scale)
        vertices, faces = moved.vertices, moved.faces
        if paint.sharp:
            ends = _longest_edges(part.vertices, part.faces)
            color = paint.color(local[ends].mean(1), part.uv[ends].mean(1))
            vertices, faces, color = _split(vertices, faces, color)
        else:
            color = paint.color(local, part.uv)
        self.vertices.append(vertices)
        self.faces.append(faces + self.count)
        self.colors.append(np.asarray(color))
        self.count += len(vertices)
        return self

    def mirrored(self, part: Part, paint: Paint | Color, at=(0, 0, 0), rotate=(0, 0, 0), scale=1.0) -> "Builder":
        """``part`` on the left and, mirrored at x = 0, on the right."""
        self.add(part, paint, at, rotate, scale)
        flip = np.broadcast_to(np.asarray(scale, float), 3) * (-1, 1, 1)
        return self.add(part, paint, (-at[0], at[1], at[2]), (rotate[0], -rotate[1], -rotate[2]), flip)

    def mesh(self) -> TexturedMesh:
        """Normalised to radius 0.5."""
        return TexturedMesh.from_arrays(
            np.concatenate(self.vertices), np.concatenate(self.faces), np.concatenate(self.colors).clip(0, 1)
        ).normalized()


def _longest_edges(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Ends [f 2] of each triangle's longest edge: the diagonal, whose middle both halves of a quad share."""
    corners = vertices[faces]
    longest = ((corners - corners[:, [1, 2, 0]]) ** 2).sum(-1).round(9).argmax(1)
    row = np.arange(len(faces))
    return np.stack([faces[row, longest], faces[row, (longest + 1) % 3]], 1)


def _split(vertices: np.ndarray, faces: np.ndarray, color: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One vertex for each vertex and color that meet, so that face colors end at the edges."""
    code = ((color.clip(0, 1) * 255).round().astype(np.int64) * (1, 256, 65536)).sum(1)
    key = (faces * 2**24 + code[:, None]).reshape(-1)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return vertices[faces.reshape(-1)[first]], inverse.reshape(-1, 3), color[first // 3]
