"""Spread of the hypotheses as seen from each vertex of one mesh."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.grid import VoxelGrid
from recon.io.atlas import vertex_colors
from recon.mesh import TexturedMesh


def weighted_quantile(
    values: Float[Tensor, "n *shape"], weights: Float[Tensor, "n"], level: float
) -> Float[Tensor, "*shape"]:
    """The smallest value whose cumulative weight reaches ``level`` (no interpolation)."""
    ordered, order = values.sort(0)
    reached = weights[order].cumsum(0) >= level - 1e-6
    reached[-1] = True
    return ordered.gather(0, reached.to(torch.uint8).argmax(0, keepdim=True))[0]


def with_spread(
    mesh: TexturedMesh,
    own: Float[Tensor, "g g g"],
    fields: Float[Tensor, "n g g g"],
    grid: VoxelGrid,
    weights: Float[Tensor, "n"],
    coverage: float,
) -> TexturedMesh:
    """``mesh`` with two attributes per vertex in world units: ``uncertainty`` (root mean square distance of the
    hypotheses' surfaces from it) and ``interval`` [k 2] (central ``coverage`` interval of where they lie, outwards
    positive).

    ``own`` is the field whose zero level the mesh is: reading it too cancels the resampling error.
    """
    values = grid.sample(torch.cat([own[None], fields]), mesh.vertices)
    outwards = values[0] - values[1:]
    tail = (1 - coverage) / 2
    interval = [weighted_quantile(outwards, weights, level) for level in (max(tail, 1e-6), 1 - tail)]
    spread = (weights[:, None] * outwards**2).sum(0).sqrt()
    return replace(mesh, attributes={**mesh.attributes, "uncertainty": spread, "interval": torch.stack(interval, -1)})


def with_colors(mesh: TexturedMesh, sources: Sequence[TexturedMesh], weights: Float[Tensor, "n"]) -> TexturedMesh:
    """``mesh`` with the hypotheses' mean colour where it has none, and ``color_spread`` [k]: the standard deviation of
    the colours of their nearest vertices, root mean square over the channels."""
    from scipy.spatial import cKDTree

    painted = [(vertex_colors(source), source, float(w)) for source, w in zip(sources, weights, strict=True)]
    painted = [(colors, source, w) for colors, source, w in painted if colors is not None]
    if not painted or len(mesh.vertices) == 0:
        return mesh
    points = mesh.vertices.double().numpy()
    found = []
    for colors, source, _ in painted:
        _, nearest = cKDTree(source.vertices.double().numpy()).query(points, workers=-1)
        found.append(colors[torch.as_tensor(nearest)])
    seen, w = torch.stack(found), torch.tensor([w for _, _, w in painted])
    w = (w / w.sum())[:, None, None]
    mean = (w * seen).sum(0)
    variance = (w * (seen - mean) ** 2).sum(0)
    mesh = replace(mesh, attributes={**mesh.attributes, "color_spread": variance.mean(-1).sqrt()})
    return mesh if mesh.colors is not None or mesh.texture is not None else replace(mesh, colors=mean)
