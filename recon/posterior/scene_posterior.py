"""N hypotheses of a scene as a posterior: depth intervals, occupied / free / unknown, modes, next photo, safe walks."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.metrics.covisibility import pixels_seen_from
from recon.metrics.distances import iou_matrix
from recon.posterior.conditioning import entropy_bits
from recon.posterior.modes import Mode, ModesConfig, find_modes
from recon.posterior.next_view import discrepancy, gram_of, mutual_information
from recon.posterior.scene_calibration import FAR, PARTS, STRATA, SceneCalibration, SceneCorrection, vote_logits
from recon.scenes.field import SceneField
from recon.scenes.grid import SceneGrid
from recon.scenes.navigation import Body, stands
from recon.scenes.strata import photo_strata

#: Depth at which the sky counts, and the reach of the strata near the photo, in median depths of the photo.
SKY_DEPTH, _NEAR = 20.0, 2.0
#: Modes of scenes: hypotheses nearer than this, of distances between 0 and about 2, are one.
SCENE_MODES = ModesConfig(min_separation=0.1)


@dataclass(frozen=True)
class SceneProbabilities:
    """Probabilities of each cell; they sum to one."""

    grid: SceneGrid
    occupied: Float[Tensor, "x y z"]
    free: Float[Tensor, "x y z"]
    unknown: Float[Tensor, "x y z"]
    """Share of the posterior in which no view came here."""
    strata: UInt8[Tensor, "x y z"]
    """Keys of :data:`recon.posterior.scene_calibration.STRATA`."""

    def safe_to_walk(self, body: Body, level: float = 0.95) -> Bool[Tensor, "x y z"]:
        """Cells over which the whole body, from one step above the floor, is free with probability ``level``.

        Unknown space counts as not free, and so does all that lies outside the grid.
        """
        if not 0 < level <= 1:
            raise InputError(f"The level of safety lies above 0 and at most at 1, not at {level:g}.")
        return stands(self.free >= level, body, self.grid)


@dataclass(frozen=True)
class NextPhoto:
    """Candidates for one more photo, with what each is expected to tell about which hypothesis is true."""

    information: Float[Tensor, "c"]
    """Expected bits of one photo from each candidate alone."""
    entropy: float
    """Bits of the hypothesis' index before it."""
    chosen: tuple[int, ...]
    """Candidates, best first, each chosen given those before it."""
    cumulative: tuple[float, ...]
    """Expected bits of the first, of the first two together, and so on."""

    @property
    def left_after_best(self) -> float:
        """Expected bits that remain after the best photo."""
        return max(self.entropy - float(self.information.max()), 0.0)

    @property
    def left_after_random(self) -> float:
        """Expected bits that remain after a photo from a candidate drawn evenly."""
        return max(self.entropy - float(self.information.mean()), 0.0)


@dataclass(frozen=True)
class ScenePosterior:
    """Views and fused fields of the same hypotheses."""

    views: ViewSet
    """[n v] with depth; view 0 is the photo's own."""
    field: SceneField
    """Three-state fields of the n hypotheses."""
    weights: Float[Tensor, "n"]
    """Sum to one."""
    unit: float
    """Median depth of the photo, in world units."""
    calibration: SceneCalibration | None = None

    def __post_init__(self) -> None:
        n = len(self.views)
        if self.views.depth is None:
            raise InputError("A scene's posterior needs views with depth.")
        if len(self.field) != n or len(self.weights) != n:
            raise InputError(f"{n} hypotheses of views need as many fields and weights.")

    def __len__(self) -> int:
        return len(self.views)

    @cached_property
    def log_depth(self) -> Float[Tensor, "n v h w"]:
        """Natural logarithm of depth in units of the photo's median; the sky stands at :data:`SKY_DEPTH`."""
        assert self.views.depth is not None
        depth = self.views.depth[:, :, 0] / self.unit
        return torch.where(depth > 0, depth, SKY_DEPTH).clamp(1 / SKY_DEPTH, SKY_DEPTH).log()

    @cached_property
    def correction(self) -> SceneCorrection | None:
        return None if self.calibration is None else self.calibration.at(len(self))

    @cached_property
    def typical_depth(self) -> Float[Tensor, "v h w"]:
        """Median over hypotheses in world units, 0 where most see sky."""
        assert self.views.depth is not None
        depth = self.log_depth.median(0).values.exp() * self.unit
        return torch.where((self.views.depth[:, :, 0] > 0).float().mean(0) >= 0.5, depth, 0.0)

    @cached_property
    def seen(self) -> Bool[Tensor, "v h w"]:
        """Rays whose surface, at its median depth, the photo shows, too."""
        cameras = self.views.cameras[0]
        return pixels_seen_from(cameras, self.typical_depth, cameras[0], self.typical_depth[0])

    def depth_interval(self, coverage: float = 0.9) -> tuple[Float[Tensor, "v h w"], Float[Tensor, "v h w"]]:
        """Lower and upper depth of every ray, in world units, that hold the truth with probability ``coverage``.

        Median log-depth plus and minus a conformal margin, apart for rays that the photo sees and others. Without a
        calibration: the hypotheses' own quantiles, which are too narrow for few hypotheses.
        """
        if not 0 < coverage < 1:
            raise InputError(f"A coverage lies between 0 and 1, not at {coverage:g}.")
        if self.correction is None:
            tails = self.log_depth.new_tensor([(1 - coverage) / 2, (1 + coverage) / 2])
            low, high = torch.quantile(self.log_depth, tails, dim=0)
        else:
            center, half = self.log_depth.median(0).values, self._margin(coverage)
            low, high = center - half, center + half
        return low.exp() * self.unit, high.exp() * self.unit

    def _margin(self, coverage: float) -> Float[Tensor, "v h w"]:
        assert self.correction is not None
        spread = self.log_depth.std(0) if len(self) > 1 else torch.zeros_like(self.log_depth[0])
        mean, depth = float(spread.mean()), self.correction.depth
        seen, unseen = (depth[part].factor(coverage) * depth[part].scale(spread, mean, 0.0) for part in PARTS)
        return torch.where(self.seen, seen, unseen)

    @cached_property
    def strata(self) -> UInt8[Tensor, "x y z"]:
        """Stratum of each cell: seen, hidden or outside near the photo, and far from it."""
        grid, photo = self.field.grid, self.views.cameras[0, :1]
        near = (grid.points() - photo.position[0]).norm(dim=-1) <= _NEAR * self.unit
        return torch.where(near, photo_strata(grid, photo, self.typical_depth[0]), FAR).to(torch.uint8)

    @cached_property
    def probabilities(self) -> SceneProbabilities:
        """Occupied, free and unknown for each cell, isotonically corrected by stratum where there is a calibration."""
        weights = self.weights[:, None, None, None]
        unknown, free, occupied = (
            (weights * state).sum(0).clamp(0, 1) for state in (self.field.unknown, self.field.free, self.field.occupied)
        )
        if self.correction is not None:
            logits, share = vote_logits(self.field), torch.zeros_like(free)
            for stratum, name in STRATA.items():
                own = self.strata == stratum
                share[own] = self.correction.free[name].of_logits(logits[own])
            free, occupied = (1 - unknown) * share, (1 - unknown) * (1 - share)
        return SceneProbabilities(self.field.grid, occupied, free, unknown, self.strata)

    @cached_property
    def distances(self) -> Float[Tensor, "n n"]:
        """1 - IoU of occupied cells, plus the mean difference of log-depth over all rays."""
        log = self.log_depth.flatten(1)
        apart = torch.stack([(log - own).abs().mean(1) for own in log])
        return (1 - iou_matrix(self.field.occupied)) + (apart + apart.T) / 2

    def modes(self, config: ModesConfig = SCENE_MODES) -> tuple[Mode, ...]:
        """Groups of hypotheses that tell the same scene, heaviest first."""
        return find_modes(self.distances, self.weights, config)

    def next_photo(self, predicted: ViewSet, count: int = 3, noise: "PhotoNoise | None" = None) -> NextPhoto:
        """Rank candidate cameras by mutual information between the hypothesis' index and the photo taken there.

        Args:
            predicted: [n c], what each hypothesis expects each candidate to see, such as renderings of its scene.
                Where ``alpha`` is 0 a hypothesis expects nothing.
            count: Length of the plan.
            noise: How photos differ from the right hypothesis' prediction.
        """
        if len(predicted) != len(self):
            raise InputError(f"{len(self)} hypotheses need as many predictions, not {len(predicted)}.")
        noise = noise or PhotoNoise()
        gram = gram_of(noise.features(predicted, self.unit))
        gram = gram / discrepancy(gram, noise.measurements(predicted))
        chosen: list[int] = []
        cumulative: list[float] = []
        alone = gained = mutual_information(gram, self.weights, noise.draws)
        for _ in range(min(count, len(gram))):
            chosen.append(int(gained.argmax()))
            cumulative.append(float(gained.max()))
            gained = mutual_information(gram + gram[chosen].sum(0), self.weights, noise.draws)
            gained[chosen] = -torch.inf
        return NextPhoto(alone, entropy_bits(self.weights), tuple(chosen), tuple(cumulative))


@dataclass(frozen=True)
class PhotoNoise:
    """Noise of a photo around the prediction of the right hypothesis: Gaussian in color and log-depth."""

    color: float = 0.3
    """Standard deviation of sRGB values."""
    log_depth: float | None = 0.3
    """Standard deviation in log-depth, which a photo shows by its layout; None ignores depth."""
    size: int = 32
    """Pixels along a side at which pictures are compared."""
    correlation: float = 4.0
    """Pixels along a side whose errors are one and the same."""
    draws: int = 64
    """Simulated pictures for each hypothesis and candidate."""

    def features(self, views: ViewSet, unit: float) -> Float[Tensor, "n c d"]:
        """Pictures as vectors whose squared distance is -2 log of the likelihood ratio."""
        known = views.alpha
        parts = [(views.rgb - 0.5) * known / (3**0.5 * self.color)]
        if self.log_depth is not None and views.depth is not None:
            depth = torch.where(views.depth > 0, views.depth / unit, SKY_DEPTH).clamp(1 / SKY_DEPTH, SKY_DEPTH)
            parts.append(depth.log() * known / self.log_depth)
        small = [torch.nn.functional.adaptive_avg_pool2d(part.flatten(0, 1), self.size) for part in parts]
        return torch.cat(small, 1).flatten(1).unflatten(0, views.rgb.shape[:2]) / self.correlation

    def measurements(self, views: ViewSet) -> float:
        """Independent measurements that a picture makes."""
        channels = 1 + (self.log_depth is not None and views.depth is not None)
        return max(float(views.alpha.mean()) * (self.size / self.correlation) ** 2 * channels, 1.0)


def candidate_cameras(
    places: Float[Tensor, "p 3"], yaws: int = 12, pitch: float = 0.0, fov: float = 75.0, size: int = 64
) -> Cameras:
    """Cameras [p * yaws] that look around at each place; yaw 0 looks along -Z, angles in degrees."""
    if yaws < 1 or not len(places):
        raise InputError("Candidates for a photo need at least one place and one direction.")
    yaw = torch.arange(yaws, device=places.device) * (2 * torch.pi / yaws)
    rise = torch.deg2rad(torch.tensor(pitch, device=places.device))
    ahead = torch.stack([yaw.sin() * rise.cos(), rise.sin().expand(yaws), -yaw.cos() * rise.cos()], -1)
    position = places[:, None].expand(-1, yaws, 3).reshape(-1, 3)
    return Cameras.look_at(position, position + ahead.repeat(len(places), 1), fov, size)
