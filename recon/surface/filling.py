"""Colours where no view looks: carried on along the surface from where they are known."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.mesh import TexturedMesh

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: How strongly an unknown vertex is drawn to the mean color; it decides only where nothing known is connected.
_PULL = 1e-4


@dataclass(frozen=True)
class Links:
    """Weighted adjacency of a mesh's vertices."""

    strength: "csr_array"
    """[k k], symmetric: two along an edge of mean nearness."""
    length: float
    """Mean of the edges."""

    @staticmethod
    def of(mesh: TexturedMesh) -> "Links":
        from scipy.sparse import coo_array

        vertices, faces = mesh.vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy()
        start, end = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)
        length = np.linalg.norm(vertices[start] - vertices[end], axis=-1)
        weight = 1 / (length + 1e-6)
        links = coo_array((weight / weight.mean(), (start, end)), shape=(len(vertices), len(vertices))).tocsr()
        return Links(links + links.T, float(length.mean()))


def extend_colors(links: Links, colors: Float[Tensor, "k 3"], known: Bool[Tensor, "k"]) -> Float[Tensor, "k 3"]:
    """Vertex colors that keep the ``known`` ones and are the weighted mean of their neighbors elsewhere.

    The way is along the surface, not through it: the inside of a cup does not take the color of its outside.
    """
    if not bool(known.any()):
        return torch.full_like(colors, 0.5)
    return _solved(links, colors, known, _PULL, colors[known].mean(0)).clamp(0, 1)


def fade_offsets(
    links: Links, offsets: Float[Tensor, "k 3"], known: Bool[Tensor, "k"], reach: float
) -> Float[Tensor, "k 3"]:
    """Offsets that keep the ``known`` ones and fade along the surface, to a third within about ``reach``.

    Added to what lies beside a patch, they take away the step at its edge (Pérez et al. 2003, here with a limit).
    """
    if not bool(known.any()):
        return torch.zeros_like(offsets)
    # A vertex with six neighbors of weight two: the screened Laplacian's length in units of the edges.
    return _solved(links, offsets, known, 3 * (links.length / reach) ** 2, torch.zeros_like(offsets[0]))


def _solved(
    links: Links, values: Float[Tensor, "k 3"], known: Bool[Tensor, "k"], pull: float, rest: Float[Tensor, "3"]
) -> Float[Tensor, "k 3"]:
    """Balance between neighbors, which weigh by their nearness, and ``rest``, which pulls with ``pull``."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import splu

    free = ~known.cpu().numpy()
    if not free.any():
        return values
    result = np.where(free[:, None], 0, values.detach().cpu().double().numpy())
    rows = links.strength[free]
    right = pull * rest.cpu().double().numpy() + rows @ result
    system = diags_array(rows.sum(1) + pull, format="csr") - rows[:, free]
    # Symmetric: its rows are its columns, and an ordering that knows it fills the factors less.
    factors = splu(system.T, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
    result[free] = factors.solve(right)
    return torch.from_numpy(result).to(values)
