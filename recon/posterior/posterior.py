"""Posterior: weighted samples of p(shape | photo), and the statements that they support."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.metrics.distances import chamfer_matrix, local_difference_matrix, mean_pair
from recon.ops.parallel import in_threads
from recon.posterior.calibration import Calibration, Correction
from recon.posterior.checks import warnings_of
from recon.posterior.decomposition import Decomposition, decompose, seen_by_photo
from recon.posterior.from_meshes import hypotheses_of_meshes
from recon.posterior.hypothesis import Hypothesis, normalized_weights, signed_distance
from recon.posterior.intervals import outward_offsets, root_mean_square, weighted_quantile, with_colors, with_spread
from recon.posterior.modes import Grouping, Mode, ModesConfig, find_modes, judge_modes, medoid
from recon.posterior.shells import Typical, band_distances, shell_distance, vertex_intervals
from recon.posterior.statistics import WeightedFields
from recon.posterior.summary import mean_of_known, summarize
from recon.posterior.view_statistics import ViewStatistics
from recon.registration import FrameChoice


@dataclass(frozen=True)
class PosteriorConfig:
    grid: int = 80
    """Voxels along a side of the cube that holds all hypotheses."""
    coverage: float = 0.9
    """Share of the true surface that per-vertex intervals and the displayed band are to hold."""
    samples: int = 4096
    """Surface points per hypothesis for pairwise distances."""
    modes: ModesConfig = field(default_factory=ModesConfig)


@dataclass(frozen=True)
class Posterior(WeightedFields):
    """Weighted samples of p(shape | photo) on one voxel grid; axes x, y, z, world units."""

    distances: Float[Tensor, "n n"]
    """Symmetric mean surface distance of every pair."""
    modes: tuple[Mode, ...]
    """Heaviest first."""
    representative: TexturedMesh
    """Mesh of the medoid, with ``uncertainty``, ``interval`` and ``color_spread`` per vertex."""
    median: TexturedMesh
    """Vorob'ev median {p >= 1/2} with the same attributes and mean colors; no faces if no half agrees anywhere."""
    representative_index: int
    coverage: float
    """Coverage of the intervals, as a share."""
    seeds: tuple[int, ...]
    elevations: Float[Tensor, "n"]
    """Degrees; NaN if unknown."""
    residuals: Float[Tensor, "n"]
    """Contradiction of the sampled views within each hypothesis; NaN if unknown."""
    views: ViewStatistics | None = None
    warnings: tuple[str, ...] = ()
    calibration: Calibration | None = None
    """Corrects probability, shells, band and intervals; without it they are the raw votes of the hypotheses."""

    @staticmethod
    def from_hypotheses(
        hypotheses: Sequence[Hypothesis],
        config: PosteriorConfig | None = None,
        calibration: Calibration | None = None,
    ) -> "Posterior":
        """Infer the posterior of objects in one common frame.

        A hypothesis' ``sdf`` is used if present, else the winding number of its mesh.

        Raises:
            InputError: there are no hypotheses, one has no faces, or a weight is not positive.
        """
        config = config or PosteriorConfig()
        weights = normalized_weights(hypotheses)
        hypotheses = [h.to("cpu") for h in hypotheses]
        meshes = [h.mesh for h in hypotheses]
        grid = VoxelGrid.around(meshes, config.grid)
        # In the precision of the file, so that a loaded posterior says what a fresh one says.
        fields = torch.stack(in_threads(lambda h: signed_distance(h, grid), hypotheses)).half().float()
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

    @staticmethod
    def from_meshes(
        meshes: Sequence[TexturedMesh],
        rgba: Float[Tensor, "4 s s"],
        frame: FrameChoice = "auto",
        config: PosteriorConfig | None = None,
        names: Sequence[str] | None = None,
    ) -> "Posterior":
        """Infer the posterior of meshes of any origin, size and place, given a photo of their object.

        Each mesh is registered to the photo and weighted by the likelihood of silhouette and color. What the posterior
        states is not calibrated.

        Args:
            meshes: Meshes in the axes of their files.
            rgba: The cut-out photo, a square of sRGB values with straight alpha.
            frame: Axes of the meshes: "auto" tries every up axis; "photo" means +Y up and photographed from +Z.
            config: Settings of the statistics.
            names: Names of the meshes in warnings and errors.

        Raises:
            InputError: There is no mesh, one has no faces, or none shows the photo's object.
        """
        made = hypotheses_of_meshes(meshes, rgba, frame, names)
        posterior = Posterior.from_hypotheses(made.hypotheses, config)
        return replace(posterior, warnings=(*posterior.warnings, *made.warnings))

    def subset(self, indices: Sequence[int]) -> "Posterior":
        """The posterior of some of the hypotheses, on the same grid; without views and colors."""
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

    # Probability and shells

    @property
    def correction(self) -> Correction | None:
        """The calibration's correction for the effective number of hypotheses."""
        return None if self.calibration is None else self.calibration.at(self.effective_size)[1]

    @cached_property
    def probability(self) -> Float[Tensor, "g g g"]:
        """Probability that each cell's center lies inside: ``voted``, corrected if there is a calibration."""
        return self.voted if self.correction is None else self.correction.probability(self.fields, self.weights)

    def probability_of(self, fields: Float[Tensor, "n *s"]) -> Float[Tensor, "*s"]:
        """Probability of inside at places whose signed distances are ``fields``, for example by ``grid.sample``."""
        if self.correction is None:
            return torch.einsum("n,n...->...", self.weights, (fields < 0).float()).clamp(0, 1)
        return self.correction.probability(fields, self.weights)

    @cached_property
    def entropy(self) -> Float[Tensor, "g g g"]:
        """Binary entropy of ``probability`` in bits per cell: 0 if certain, 1 at one half."""
        p = self.probability.double()
        bits = -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)) / math.log(2)
        return bits.clamp_min(0).float()

    def shell(self, level: float) -> TexturedMesh:
        """Surface of the region whose ``probability`` is at least ``level``; no faces if there is none.

        Shells nest: a higher level lies inside a lower one.
        """
        return self.grid.surface(self.shell_distance(level))

    def shell_distance(self, level: float) -> Float[Tensor, "g g g"]:
        """Field that is at most 0 exactly inside :meth:`shell`; ``grid.sample`` reads it anywhere."""
        return shell_distance(self, self.correction, level)

    def band(self, coverage: float) -> tuple[TexturedMesh, TexturedMesh]:
        """Outer and inner side of the band that is to hold ``coverage`` of the true surface."""
        outer, inner = self.band_distances(coverage)
        return self.grid.surface(outer), self.grid.surface(inner)

    def band_distances(self, coverage: float) -> Float[Tensor, "2 g g g"]:
        """Signed distances of the two sides of :meth:`band`; ``grid.sample`` reads them anywhere."""
        typical = None if self.correction is None else self.typical
        return band_distances(self, self.correction, coverage, typical)

    @cached_property
    def typical(self) -> Typical:
        """Object-wide scales of the calibrated band and intervals."""
        spread = self.offsets(self.representative, self.fields[self.representative_index])[1]
        return Typical(float(spread.mean()), mean_of_known(self.residuals) or 0.0)

    # Statements at the vertices of a mesh

    def with_spread(self, mesh: TexturedMesh, index: int) -> TexturedMesh:
        """Hypothesis ``index``'s mesh with ``uncertainty`` and ``interval`` per vertex, seen from its own surface."""
        return self._stated(mesh, self.fields[index])

    def uncertainty_of(self, mesh: TexturedMesh, index: int) -> Float[Tensor, "k"]:
        """Only the ``uncertainty`` attribute of :meth:`with_spread`; cheaper, as no quantiles are computed."""
        return root_mean_square(outward_offsets(mesh, self.fields[index], self.fields, self.grid), self.weights)

    def _stated(self, mesh: TexturedMesh, own: Float[Tensor, "g g g"]) -> TexturedMesh:
        outwards = outward_offsets(mesh, own, self.fields, self.grid)
        typical = None if self.correction is None else self.typical
        interval = vertex_intervals(self, self.correction, mesh, own, self.coverage, typical)
        return with_spread(mesh, outwards, self.weights, interval)

    # The hypotheses among each other

    @property
    def best_guess(self) -> int:
        """The heaviest hypothesis, of equals the one whose views agree best: one object without a posterior."""
        residuals = self.residuals.nan_to_num(0.0).tolist()
        return min(range(len(self)), key=lambda k: (-float(self.weights[k]), residuals[k]))

    @property
    def diversity(self) -> float:
        """Mean pairwise surface distance of different hypotheses, world units."""
        return mean_pair(self.distances, self.weights)

    @cached_property
    def grouping(self) -> Grouping:
        """Confidence of the division into ``modes``."""
        return judge_modes(self.local_differences, self.modes)

    @cached_property
    def decomposition(self) -> Decomposition:
        """Share of the spread at the representative by source."""
        outwards = self.limited_offsets(self.representative, self.fields[self.representative_index])
        return decompose(outwards, self.weights, self.elevations, self.residuals, self.representative)

    @cached_property
    def seen(self) -> Bool[Tensor, "k"] | None:
        """Mask of the representative's vertices that the photo shows; None if its camera is unknown."""
        elevation = float(self.elevations[self.representative_index])
        return None if math.isnan(elevation) else seen_by_photo(self.representative, elevation)

    def summary(self) -> dict[str, Any]:
        """Every statistic that fits on a page, JSON-ready."""
        return summarize(self)

    def to(self, device: torch.device | str) -> "Posterior":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        movable = Tensor | TexturedMesh | VoxelGrid | ViewStatistics
        moved: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, movable)}
        return replace(self, **moved)


def _numbers(values: Sequence[float | None]) -> Float[Tensor, "n"]:
    return torch.tensor([math.nan if value is None else value for value in values])
