"""Posterior: what N sampled objects say together about the one that was photographed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from recon.errors import InputError
from recon.grid import VoxelGrid, inside_volume
from recon.mesh import TexturedMesh
from recon.posterior.distances import chamfer_matrix, iou_matrix, mean_pair
from recon.posterior.hypothesis import Hypothesis
from recon.posterior.intervals import weighted_quantile, with_colors, with_spread
from recon.posterior.modes import Mode, ModesConfig, find_modes, medoid
from recon.posterior.view_statistics import ViewStatistics
from recon.posterior.voxelize import mesh_distance, redistance


@dataclass(frozen=True)
class PosteriorConfig:
    grid: int = 80
    """Voxels along a side of the cube that holds all hypotheses."""
    coverage: float = 0.9
    """Of the per-vertex intervals."""
    samples: int = 4096
    """Surface points per hypothesis for pairwise distances."""
    modes: ModesConfig = field(default_factory=ModesConfig)


@dataclass(frozen=True)
class Posterior:
    """Weighted samples of p(shape | photo) on one voxel grid; axes x, y, z, units of the world."""

    weights: Float[Tensor, "n"]
    """Sum to one."""
    fields: Float[Tensor, "n g g g"]
    """Signed distances of the hypotheses, negative inside."""
    grid: VoxelGrid
    distances: Float[Tensor, "n n"]
    """Symmetric mean surface distance of every pair."""
    modes: tuple[Mode, ...]
    """Heaviest first."""
    representative: TexturedMesh
    """The medoid's mesh, with ``uncertainty``, ``interval`` and ``color_spread`` per vertex."""
    median: TexturedMesh
    """Vorob'ev median {p >= 1/2} with the same attributes and mean colours; no faces where no half agrees anywhere."""
    representative_index: int
    coverage: float
    """Of the intervals, as a share."""
    seeds: tuple[int, ...]
    elevations: Float[Tensor, "n"]
    """Degrees; NaN where unknown."""
    residuals: Float[Tensor, "n"]
    """NaN where unknown."""
    views: ViewStatistics | None = None
    warnings: tuple[str, ...] = ()

    @staticmethod
    def from_hypotheses(hypotheses: Sequence[Hypothesis], config: PosteriorConfig | None = None) -> "Posterior":
        """From any objects in one common frame; ``sdf`` is used where present, the mesh's winding number elsewhere."""
        config = config or PosteriorConfig()
        weights = _normalised_weights(hypotheses)
        hypotheses = [h.to("cpu") for h in hypotheses]
        meshes = [h.mesh for h in hypotheses]
        grid = VoxelGrid.around(meshes, config.grid)
        fields = torch.stack([_field(h, grid) for h in hypotheses])
        distances = chamfer_matrix(meshes, fields, grid, config.samples)
        index = medoid(distances, weights)

        def finished(mesh: TexturedMesh, own: Float[Tensor, "g g g"]) -> TexturedMesh:
            return with_colors(with_spread(mesh, own, fields, grid, weights, config.coverage), meshes, weights)

        middle = weighted_quantile(fields, weights, 0.5)
        views = [h.views for h in hypotheses if h.views is not None]
        return Posterior(
            weights=weights,
            fields=fields,
            grid=grid,
            distances=distances,
            modes=find_modes(distances, weights, config.modes),
            representative=finished(meshes[index], fields[index]),
            median=finished(grid.surface(middle), middle),
            representative_index=index,
            coverage=config.coverage,
            seeds=tuple(h.seed for h in hypotheses),
            elevations=_numbers([h.elevation for h in hypotheses]),
            residuals=_numbers([h.residual for h in hypotheses]),
            views=ViewStatistics.from_views(views, weights) if len(views) == len(hypotheses) else None,
            warnings=_warnings(hypotheses, weights, distances, fields),
        )

    def __len__(self) -> int:
        return len(self.weights)

    @cached_property
    def probability(self) -> Float[Tensor, "g g g"]:
        """Of each cell's centre lying inside the object."""
        return torch.einsum("n,nxyz->xyz", self.weights, (self.fields < 0).float()).clamp(0, 1)

    @cached_property
    def entropy(self) -> Float[Tensor, "g g g"]:
        """Bits per cell of the inside / outside question: 0 where all agree, 1 where they are split in half."""
        p = self.probability.double()
        bits = -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)) / math.log(2)
        return bits.clamp_min(0).float()

    def shell(self, level: float) -> TexturedMesh:
        """Surface of the region that is inside the object with probability ``level`` or more.

        It is the zero level of the hypotheses' ``level`` quantile distance: the same set as thresholding
        ``probability``, without its steps. Shells nest: a higher level lies inside a lower one.
        """
        return self.grid.surface(self.quantile(level))

    def quantile(self, level: float) -> Float[Tensor, "g g g"]:
        """Signed distance of the shell of ``level``; ``grid.sample`` reads it anywhere."""
        if not 0 < level <= 1:
            raise InputError(f"A credible shell's level lies in (0, 1], not {level}.")
        return weighted_quantile(self.fields, self.weights, level)

    def with_spread(self, mesh: TexturedMesh, index: int) -> TexturedMesh:
        """Hypothesis ``index``'s mesh with ``uncertainty`` and ``interval`` per vertex, seen from its own surface."""
        return with_spread(mesh, self.fields[index], self.fields, self.grid, self.weights, self.coverage)

    @cached_property
    def volumes(self) -> Float[Tensor, "n"]:
        return inside_volume(self.fields < 0, self.grid)

    @cached_property
    def ambiguity(self) -> float:
        """Expected 1 - IoU of the volumes of two different hypotheses drawn by weight.

        0 when all are the same solid, 1 when no two overlap.
        """
        return min(max(mean_pair(1 - iou_matrix(self.fields < 0), self.weights), 0.0), 1.0)

    @property
    def diversity(self) -> float:
        """Mean pairwise surface distance of different hypotheses, world units."""
        return mean_pair(self.distances, self.weights)

    @property
    def effective_size(self) -> float:
        """Kish's effective number of hypotheses, 1 / sum of squared weights."""
        return float(1 / (self.weights**2).sum())

    def ambiguous_volume(self, low: float = 0.05, high: float = 0.95) -> float:
        """Cubic world units whose probability is neither near 0 nor near 1."""
        undecided = (self.probability > low) & (self.probability < high)
        return float(inside_volume(undecided, self.grid))

    def summary(self) -> dict:
        """Everything that fits on a page, JSON-ready."""
        union = self.probability > 0
        spread = self.representative.attributes["uncertainty"]
        known = self.elevations[~self.elevations.isnan()]
        return {
            "num_hypotheses": len(self),
            "effective_size": self.effective_size,
            "weights": self.weights.tolist(),
            "seeds": list(self.seeds),
            "ambiguity": {
                "value": self.ambiguity,
                "meaning": "expected 1 - IoU of two different hypotheses: 0 the same solid, 1 nothing in common",
            },
            "diversity": self.diversity,
            "entropy": {
                "bits_per_voxel": float(self.entropy[union].mean()) if bool(union.any()) else 0.0,
                "bit_volume": float(self.entropy.sum()) * self.grid.cell_volume,
                "voxels_per_side": self.grid.resolution,
            },
            "volume": {
                "mean": float(self.weights @ self.volumes),
                "median_shape": float(inside_volume(self.probability >= 0.5 - 1e-6, self.grid)),
                "ambiguous": self.ambiguous_volume(),
            },
            "modes": [vars(mode) | {"members": list(mode.members)} for mode in self.modes],
            "representative": {
                "index": self.representative_index,
                "mean_uncertainty": float(spread.mean()),
                "max_uncertainty": float(spread.max()),
                "interval_coverage": self.coverage,
            },
            "within": {"residual": _mean(self.residuals)},
            "elevation": {
                "mean": _mean(self.elevations),
                "std": float(known.std(correction=0)) if len(known) else None,
            },
            "calibration": None,
            "warnings": list(self.warnings),
        }

    def save(self, folder: str | Path) -> Path:
        """Write ``posterior.npz`` into ``folder`` (created); returns the file."""
        from recon.posterior.storage import save_posterior

        return save_posterior(self, Path(folder))

    @staticmethod
    def load(path: str | Path) -> "Posterior":
        """Read a folder or file written by :meth:`save`."""
        from recon.posterior.storage import load_posterior

        return load_posterior(Path(path))

    def to(self, device: torch.device | str) -> "Posterior":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        movable = Tensor | TexturedMesh | VoxelGrid | ViewStatistics
        return replace(self, **{name: v.to(device) for name, v in values.items() if isinstance(v, movable)})


def _normalised_weights(hypotheses: Sequence[Hypothesis]) -> Float[Tensor, "n"]:
    if not hypotheses:
        raise InputError("A posterior needs at least one hypothesis.")
    for index, hypothesis in enumerate(hypotheses):
        if not (math.isfinite(hypothesis.weight) and hypothesis.weight > 0):
            raise InputError(
                f"Hypothesis {index} has weight {hypothesis.weight}: give it a positive one, or leave it out."
            )
        if len(hypothesis.mesh) == 0:
            raise InputError(f"Hypothesis {index} has no faces; leave it out.")
    weights = torch.tensor([h.weight for h in hypotheses], dtype=torch.float64)
    return (weights / weights.sum()).float()


def _field(hypothesis: Hypothesis, grid: VoxelGrid) -> Float[Tensor, "g g g"]:
    if hypothesis.sdf is None:
        return mesh_distance(hypothesis.mesh, grid)
    source = VoxelGrid(torch.zeros(3), hypothesis.extent, hypothesis.sdf.shape[0])
    return redistance(source.sample(hypothesis.sdf[None].float(), grid.points())[0], grid)


def _numbers(values: Sequence[float | None]) -> Float[Tensor, "n"]:
    return torch.tensor([math.nan if value is None else value for value in values])


def _mean(values: Float[Tensor, "n"]) -> float | None:
    mean = float(values.nanmean())
    return None if math.isnan(mean) else mean


def _warnings(
    hypotheses: Sequence[Hypothesis],
    weights: Float[Tensor, "n"],
    distances: Float[Tensor, "n n"],
    fields: Float[Tensor, "n g g g"],
) -> tuple[str, ...]:
    found = []
    if len(hypotheses) == 1:
        found.append("One hypothesis says nothing about uncertainty: sample at least four.")
    elif float(1 / (weights**2).sum()) < 2:
        found.append("Nearly all weight lies on one hypothesis: the spread is understated.")
    empty = [index for index in range(len(fields)) if not bool((fields[index] < 0).any())]
    if empty:
        found.append(f"Hypotheses {empty} enclose no volume on the grid: open or very thin surfaces.")
    radii = torch.stack([(h.mesh.bounds[1] - h.mesh.bounds[0]).norm() for h in hypotheses])
    if float(radii.max()) > 4 * float(radii.min()):
        found.append("Hypotheses differ more than fourfold in size: are they in one frame and unit?")
    return tuple(found)
