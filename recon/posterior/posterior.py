"""Posterior: what N sampled objects say together about the one that was photographed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.grid import VoxelGrid, inside_volume
from recon.core.mesh import TexturedMesh
from recon.metrics.distances import SPREAD_LIMIT, chamfer_matrix, iou_matrix, local_difference_matrix, mean_pair
from recon.ops.parallel import in_threads
from recon.ops.sdf import redistanced
from recon.ops.voxelize import mesh_distance
from recon.posterior.calibration import Calibration, Correction
from recon.posterior.checks import warnings_of
from recon.posterior.convergence import Convergence, convergence
from recon.posterior.decomposition import Decomposition, by_side, decompose, seen_by_photo
from recon.posterior.hypothesis import Hypothesis
from recon.posterior.intervals import (
    central_interval,
    deviation,
    outward_offsets,
    root_mean_square,
    weighted_median,
    weighted_quantile,
    with_colors,
    with_spread,
)
from recon.posterior.modes import Mode, ModesConfig, find_modes, medoid
from recon.posterior.view_statistics import ViewStatistics

#: Cells from those beside the surface up to which a hypothesis' own distances are believed.
_BELIEVED = 2.5


@dataclass(frozen=True)
class PosteriorConfig:
    grid: int = 80
    """Voxels along a side of the cube that holds all hypotheses."""
    coverage: float = 0.9
    """Of the per-vertex intervals and of the shells that are shown."""
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
    calibration: Calibration | None = None
    """Corrects probability, shells and intervals; without it they are the raw votes of the hypotheses."""

    @staticmethod
    def from_hypotheses(
        hypotheses: Sequence[Hypothesis],
        config: PosteriorConfig | None = None,
        calibration: Calibration | None = None,
    ) -> "Posterior":
        """From any objects in one common frame; ``sdf`` is used where present, the mesh's winding number elsewhere."""
        config = config or PosteriorConfig()
        weights = _normalised_weights(hypotheses)
        hypotheses = [h.to("cpu") for h in hypotheses]
        meshes = [h.mesh for h in hypotheses]
        grid = VoxelGrid.around(meshes, config.grid)
        # In the precision of the file, so that a loaded posterior says what a fresh one says.
        fields = torch.stack(in_threads(lambda h: _field(h, grid), hypotheses)).half().float()
        distances = chamfer_matrix(meshes, fields, grid, config.samples)
        index = medoid(distances, weights)
        middle = weighted_quantile(fields, weights, 0.5)
        views = [h.views for h in hypotheses if h.views is not None]
        bare = Posterior(
            weights=weights,
            fields=fields,
            grid=grid,
            distances=distances,
            modes=find_modes(local_difference_matrix(fields, grid), weights, config.modes),
            representative=meshes[index],
            median=grid.surface(middle),
            representative_index=index,
            coverage=config.coverage,
            seeds=tuple(h.seed for h in hypotheses),
            elevations=_numbers([h.elevation for h in hypotheses]),
            residuals=_numbers([h.residual for h in hypotheses]),
            views=ViewStatistics.from_views(views, weights) if len(views) == len(hypotheses) else None,
            warnings=warnings_of(hypotheses, weights, fields < 0),
            calibration=calibration,
        )
        stated = [bare._stated(bare.representative, fields[index]), bare._stated(bare.median, middle)]
        representative, median = with_colors(stated, meshes, weights, config.coverage)
        return replace(bare, representative=representative, median=median)

    def __len__(self) -> int:
        return len(self.weights)

    def subset(self, indices: Sequence[int]) -> "Posterior":
        """The posterior of some of the hypotheses, on the same grid; without views and colours."""
        index = list(indices)
        weights = self.weights[index] / self.weights[index].sum()
        distances = self.distances[index][:, index]
        kept = medoid(distances, weights)
        bare = replace(
            self,
            weights=weights,
            fields=self.fields[index],
            distances=distances,
            modes=find_modes(self.local_differences[index][:, index], weights),
            representative=self.grid.surface(self.fields[index[kept]]),
            representative_index=kept,
            seeds=tuple(self.seeds[k] for k in index),
            elevations=self.elevations[index],
            residuals=self.residuals[index],
            views=None,
        )
        middle = weighted_quantile(bare.fields, weights, 0.5)
        return replace(
            bare,
            representative=bare._stated(bare.representative, bare.fields[kept]),
            median=bare._stated(self.grid.surface(middle), middle),
        )

    @cached_property
    def local_differences(self) -> Float[Tensor, "n n"]:
        """What tells the modes apart, in world units."""
        return local_difference_matrix(self.fields, self.grid)

    @cached_property
    def voted(self) -> Float[Tensor, "g g g"]:
        """Share of the hypotheses, by weight, that hold each cell's centre inside."""
        return replace(self, calibration=None).probability_of(self.fields)

    @cached_property
    def probability(self) -> Float[Tensor, "g g g"]:
        """Of each cell's centre lying inside the object: calibrated, or the vote where there is no calibration."""
        return self.voted if self.correction is None else self.probability_of(self.fields)

    def probability_of(self, fields: Float[Tensor, "n *s"]) -> Float[Tensor, "*s"]:
        """The same where the hypotheses' distances are ``fields``: ``grid.sample`` reads them anywhere."""
        if self.correction is None:
            return torch.einsum("n,n...->...", self.weights, (fields < 0).float()).clamp(0, 1)
        return self.correction.probability(fields, self.weights)

    @property
    def correction(self) -> Correction | None:
        """What the calibration says about as many hypotheses as count here."""
        return None if self.calibration is None else self.calibration.at(self.effective_size)[1]

    @cached_property
    def entropy(self) -> Float[Tensor, "g g g"]:
        """Bits per cell of the inside / outside question: 0 where all agree, 1 where they are split in half."""
        p = self.probability.double()
        bits = -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)) / math.log(2)
        return bits.clamp_min(0).float()

    def shell(self, level: float) -> TexturedMesh:
        """Surface of the region that is inside the object with probability ``level`` or more.

        Shells nest: a higher level lies inside a lower one. Between the shells of 0.05 and 0.95 lie 90 % of the
        surface.
        """
        return self.grid.surface(self.quantile(level))

    def quantile(self, level: float) -> Float[Tensor, "g g g"]:
        """Signed distance of the shell of ``level``; ``grid.sample`` reads it anywhere.

        Without a calibration it is the hypotheses' own ``level`` quantile distance: the same set as thresholding
        ``voted``, without its steps. With one it is their median, moved by the margin that makes it true.
        """
        if not 0 < level <= 1:
            raise InputError(f"A credible shell's level lies in (0, 1], not {level}.")
        if self.correction is None:
            return weighted_quantile(self.fields, self.weights, level)
        margin = self.correction.shells
        scale = margin.scale(self.spread, self.mean_spread, self.mean_residual)
        return self.location + math.copysign(margin.factor(abs(2 * level - 1)), level - 0.5) * scale

    @cached_property
    def location(self) -> Float[Tensor, "g g g"]:
        """The hypotheses' median signed distance."""
        return weighted_median(self.fields, self.weights)

    @cached_property
    def spread(self) -> Float[Tensor, "g g g"]:
        """Standard deviation of the hypotheses' signed distances; 0 for one hypothesis."""
        return deviation(self._limited, self.weights)

    def local(self, points: Float[Tensor, "p 3"]) -> tuple[Float[Tensor, "p"], Float[Tensor, "p"]]:
        """``location`` and ``spread`` at world points, without making the volumes."""
        values, limit = self.grid.sample(self.fields, points), SPREAD_LIMIT * self.grid.spacing
        return weighted_median(values, self.weights), deviation(values.clamp(-limit, limit), self.weights)

    def offsets(self, mesh: TexturedMesh, own: Float[Tensor, "g g g"]) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
        """Median and standard deviation of where the hypotheses' surfaces lie from the vertices of ``mesh``, which is
        the zero level of ``own``; outwards positive."""
        outwards = self._offsets(mesh, own)
        return weighted_median(outwards, self.weights), deviation(outwards, self.weights)

    def _offsets(self, mesh: TexturedMesh, own: Float[Tensor, "g g g"]) -> Float[Tensor, "n k"]:
        limit = SPREAD_LIMIT * self.grid.spacing
        return outward_offsets(mesh, own.clamp(-limit, limit), self._limited, self.grid)

    @cached_property
    def _limited(self) -> Float[Tensor, "n g g g"]:
        limit = SPREAD_LIMIT * self.grid.spacing
        return self.fields.clamp(-limit, limit)

    @cached_property
    def mean_spread(self) -> float:
        """Of the vertices of the representative."""
        index = self.representative_index
        return float(self.offsets(self.representative, self.fields[index])[1].mean())

    @property
    def mean_residual(self) -> float:
        """Within the hypotheses; 0 where it is unknown."""
        return _mean(self.residuals) or 0.0

    @property
    def best_guess(self) -> int:
        """What one would take without a posterior: the heaviest, of these the one whose views agree best."""
        residuals = self.residuals.nan_to_num(0.0).tolist()
        return min(range(len(self)), key=lambda k: (-float(self.weights[k]), residuals[k]))

    def with_spread(self, mesh: TexturedMesh, index: int) -> TexturedMesh:
        """Hypothesis ``index``'s mesh with ``uncertainty`` and ``interval`` per vertex, seen from its own surface."""
        return self._stated(mesh, self.fields[index])

    def uncertainty_of(self, mesh: TexturedMesh, index: int) -> Float[Tensor, "k"]:
        """The first of these alone, which needs no quantiles."""
        return root_mean_square(outward_offsets(mesh, self.fields[index], self.fields, self.grid), self.weights)

    def _stated(self, mesh: TexturedMesh, own: Float[Tensor, "g g g"]) -> TexturedMesh:
        outwards = outward_offsets(mesh, own, self.fields, self.grid)
        if self.correction is None or len(mesh) == 0:
            interval = central_interval(outwards, self.weights, self.coverage)
        else:
            centre, spread = self.offsets(mesh, own)
            margin = self.correction.intervals
            half = margin.factor(self.coverage) * margin.scale(spread, self.mean_spread, self.mean_residual)
            interval = torch.stack([centre - half, centre + half], -1)
        return with_spread(mesh, outwards, self.weights, interval)

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

    @cached_property
    def decomposition(self) -> Decomposition:
        """Where the spread at the representative comes from."""
        outwards = self._offsets(self.representative, self.fields[self.representative_index])
        return decompose(outwards, self.weights, self.elevations, self.residuals, self.representative)

    @cached_property
    def convergence(self) -> tuple[Convergence, ...]:
        """What was known after two, three, ... hypotheses; empty for one."""
        return convergence(self.fields < 0)

    @cached_property
    def seen(self) -> Bool[Tensor, "k"] | None:
        """Which of the representative's vertices the photo shows; None where its camera is unknown."""
        elevation = float(self.elevations[self.representative_index])
        return None if math.isnan(elevation) else seen_by_photo(self.representative, elevation)

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
                "bits": float(self.entropy.sum()),
                "voxels_per_side": self.grid.resolution,
            },
            "volume": {
                "mean": float(self.weights @ self.volumes),
                "median_shape": float(inside_volume(self.voted >= 0.5 - 1e-6, self.grid)),
                "ambiguous": self.ambiguous_volume(),
            },
            "modes": [vars(mode) | {"members": list(mode.members)} for mode in self.modes],
            "representative": {
                "index": self.representative_index,
                "mean_uncertainty": float(spread.mean()),
                "max_uncertainty": float(spread.max()),
                "interval_coverage": self.coverage,
            },
            "sides": None if self.seen is None else by_side(spread, self.seen),
            "decomposition": self.decomposition.to_dict(),
            "convergence": [each.to_dict() for each in self.convergence],
            "within": {"residual": _mean(self.residuals)},
            "elevation": {
                "mean": _mean(self.elevations),
                "std": float(known.std(correction=0)) if len(known) else None,
            },
            "calibration": self.calibration_record(),
            "warnings": list(self.warnings),
        }

    def calibration_record(self) -> dict:
        """Which calibration corrected these statements, and what that promises; JSON-ready."""
        if self.calibration is None:
            text = "Not calibrated: probabilities, shells and intervals are the raw votes of the hypotheses."
            return {"name": None, "statement": text}
        count, correction = self.calibration.at(self.effective_size)
        return {
            "name": self.calibration.name,
            "num_hypotheses": count,
            "coverage": self.coverage,
            "levels": list(correction.shells.levels),
            "held_out": self.calibration.held_out.get(str(count)),
            "provenance": dict(self.calibration.provenance),
            "statement": self.calibration.statement(count, self.coverage),
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
    return redistanced(source.sample(hypothesis.sdf[None].float(), grid.points())[0], grid.spacing, _BELIEVED)


def _numbers(values: Sequence[float | None]) -> Float[Tensor, "n"]:
    return torch.tensor([math.nan if value is None else value for value in values])


def _mean(values: Float[Tensor, "n"]) -> float | None:
    mean = float(values.nanmean())
    return None if math.isnan(mean) else mean
