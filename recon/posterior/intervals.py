"""Spread of the hypotheses as seen from each vertex of one mesh."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.io.meshes.atlas import vertex_colors
from recon.ops.parallel import in_threads


def weighted_quantile(
    values: Float[Tensor, "n *shape"], weights: Float[Tensor, "n"], level: float
) -> Float[Tensor, "*shape"]:
    """The smallest value whose cumulative weight reaches ``level`` (no interpolation)."""
    ordered, order = values.sort(0)
    short = (weights[order].cumsum(0) < level - 1e-6).sum(0, keepdim=True)
    return ordered.gather(0, short.clamp_max(len(values) - 1))[0]


def weighted_median(values: Float[Tensor, "n *shape"], weights: Float[Tensor, "n"]) -> Float[Tensor, "*shape"]:
    """Midway between the lower and the upper median: turning all signs turns its sign."""
    ordered, order = values.sort(0)
    reached = weights[order].cumsum(0)
    # Rounding may leave the whole sum below the upper level: then no place is reached, and it is the last one.
    last = len(values) - 1
    places = [(reached < level).sum(0, keepdim=True).clamp_max(last) for level in (0.5 - 1e-6, 0.5 + 1e-6)]
    return (ordered.gather(0, places[0]) + ordered.gather(0, places[1]))[0] / 2


def deviation(values: Float[Tensor, "n *shape"], weights: Float[Tensor, "n"]) -> Float[Tensor, "*shape"]:
    """Unbiased weighted standard deviation (reliability weights); 0 for one value."""
    freedom = 1 - float((weights.double() ** 2).sum())
    if freedom < 1e-6:
        return torch.zeros_like(values[0])
    mean = torch.einsum("n,n...->...", weights, values)
    square = torch.einsum("n,n...->...", weights, (values - mean) ** 2)
    return (square / freedom).sqrt()


def outward_offsets(
    mesh: TexturedMesh, own: Float[Tensor, "g g g"], fields: Float[Tensor, "n g g g"], grid: VoxelGrid
) -> Float[Tensor, "n k"]:
    """Outward distance from each vertex to the hypotheses' surfaces, in world units.

    ``own`` is the field whose zero level the mesh is: reading it too cancels the resampling error.
    """
    return grid.sample(own[None], mesh.vertices) - grid.sample(fields, mesh.vertices)


def with_spread(
    mesh: TexturedMesh, outwards: Float[Tensor, "n k"], weights: Float[Tensor, "n"], interval: Float[Tensor, "k 2"]
) -> TexturedMesh:
    """``mesh`` with two attributes per vertex in world units: ``uncertainty`` (root mean square distance of the
    hypotheses' surfaces from it) and ``interval`` (of where the surface lies, outwards positive)."""
    stated = {"uncertainty": root_mean_square(outwards, weights), "interval": interval}
    return replace(mesh, attributes={**mesh.attributes, **stated})


def root_mean_square(outwards: Float[Tensor, "n k"], weights: Float[Tensor, "n"]) -> Float[Tensor, "k"]:
    return (weights[:, None] * outwards**2).sum(0).sqrt()


def central_interval(
    values: Float[Tensor, "n *shape"], weights: Float[Tensor, "n"], coverage: float
) -> Float[Tensor, "*shape 2"]:
    """Between the hypotheses' own quantiles: what N samples say, uncorrected."""
    tail = (1 - coverage) / 2
    return torch.stack([weighted_quantile(values, weights, level) for level in (max(tail, 1e-6), 1 - tail)], -1)


def with_colors(
    meshes: Sequence[TexturedMesh], sources: Sequence[TexturedMesh], weights: Float[Tensor, "n"], coverage: float
) -> list[TexturedMesh]:
    """``meshes`` with the hypotheses' mean color where they have none, and three attributes per vertex of the colors
    of their nearest vertices: ``color_spread`` [k] (standard deviation, root mean square over the channels),
    ``color_low`` and ``color_high`` [k 3] (central ``coverage`` interval of each channel)."""
    from scipy.spatial import cKDTree

    points = torch.cat([mesh.vertices for mesh in meshes]).double().numpy()

    def seen(source: TexturedMesh) -> Float[Tensor, "p 3"] | None:
        colors = vertex_colors(source)
        if colors is None:
            return None
        _, nearest = cKDTree(source.vertices.double().numpy()).query(points)
        return colors[torch.as_tensor(nearest)]

    found = in_threads(seen, sources)
    painted = [k for k, colors in enumerate(found) if colors is not None]
    seen_colors = [colors for colors in found if colors is not None]
    if not painted:
        return list(meshes)
    parts = torch.stack(seen_colors).split([len(mesh.vertices) for mesh in meshes], 1)
    w = weights[painted] / weights[painted].sum()
    return [_with_colors(mesh, part, w, coverage) for mesh, part in zip(meshes, parts, strict=True)]


def _with_colors(
    mesh: TexturedMesh, seen: Float[Tensor, "n k 3"], weights: Float[Tensor, "n"], coverage: float
) -> TexturedMesh:
    if len(mesh.vertices) == 0:
        return mesh
    w = weights[:, None, None]
    mean = (w * seen).sum(0)
    variance = (w * (seen - mean) ** 2).sum(0)
    low, high = central_interval(seen, weights, coverage).unbind(-1)
    stated = {"color_spread": variance.mean(-1).sqrt(), "color_low": low, "color_high": high}
    mesh = replace(mesh, attributes={**mesh.attributes, **stated})
    return mesh if mesh.colors is not None or mesh.texture is not None else replace(mesh, colors=mean)
