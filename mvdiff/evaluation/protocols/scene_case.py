"""A scene that is known: its photo, cameras that walk through it, and what they truly see."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.metrics.covisibility import pixels_seen_from

#: Depths beyond so many of the photo's medians count as this far, and so does the sky.
FAR = 20.0
#: Masks with fewer pixels are not scored.
LEAST_PIXELS = 100


@dataclass(frozen=True)
class Hidden:
    """An attribute that the photo cannot show, whose probabilities given the photo are known."""

    name: str
    value: str
    """The one that is true in this scene."""
    shares: Mapping[str, float]
    """Probability of each value."""
    views: Mapping[str, ViewSet]
    """What the case's cameras see [1 v] with each value in turn."""


@dataclass(frozen=True)
class SceneCase:
    """True views of one scene in the photo's frame, with the photo's camera first."""

    name: str
    kind: str
    """room, street, ...: results are listed by it."""
    truth: ViewSet
    """[1 v]; view 0 is the photo's. Depth is exact, 0 for sky; rgb holds the sky's color."""
    photo: Float[Tensor, "3 h w"]
    """The picture that is shown to the sampler."""
    roles: tuple[str, ...]
    """For each view: photo, sphere or path."""
    stations: tuple[int, ...]
    """For each view: 0 where the photo was taken, 1 the next place that a sampler reaches, and so on."""
    seed: int = 0
    hidden: Hidden | None = None

    def select(self, views: list[int]) -> "SceneCase":
        """The case with these views alone, the photo's among them as the first."""
        if views[0] != 0:
            raise ValueError("The photo's own view is the first of a case.")
        hidden = self.hidden
        if hidden is not None:
            hidden = replace(hidden, views={value: v.select_views(views) for value, v in hidden.views.items()})
        return replace(
            self,
            hidden=hidden,
            truth=self.truth.select_views(views),
            roles=tuple(self.roles[k] for k in views),
            stations=tuple(self.stations[k] for k in views),
        )

    @property
    def cameras(self) -> Cameras:
        return self.truth.cameras[0]

    @cached_property
    def depth(self) -> Float[Tensor, "v h w"]:
        """True z-depth; 0 for sky."""
        assert self.truth.depth is not None
        return self.truth.depth[0, :, 0]

    @cached_property
    def surface(self) -> Bool[Tensor, "v h w"]:
        """Pixels that are not sky."""
        return self.depth > 0

    @cached_property
    def unit(self) -> float:
        """Median depth of the photo: lengths are reported in it."""
        return float(self.depth[0][self.surface[0]].median())

    @cached_property
    def seen(self) -> Bool[Tensor, "v h w"]:
        """Pixels whose surface, or sky, the photo shows."""
        return pixels_seen_from(self.cameras, self.depth, self.cameras[0], self.depth[0])

    @cached_property
    def warped(self) -> Bool[Tensor, "v h w"]:
        """Pixels hidden from the photo that a view of an earlier station shows."""
        known = torch.zeros_like(self.seen)
        for station in sorted(set(self.stations)):
            now = torch.tensor([s == station for s in self.stations])
            for k in (k for k, s in enumerate(self.stations) if s < station):
                known[now] |= pixels_seen_from(self.cameras[now], self.depth[now], self.cameras[k], self.depth[k])
        return known & ~self.seen

    @cached_property
    def unseen(self) -> Bool[Tensor, "v h w"]:
        """Pixels that neither the photo nor an earlier station shows."""
        return ~self.seen & ~self.warped

    @property
    def masks(self) -> dict[str, Bool[Tensor, "v h w"]]:
        return {
            "seen": self.seen,
            "warped": self.warped,
            "known": self.seen | self.warped,
            "unseen": self.unseen,
            "hidden": ~self.seen,
        }


def log_depth(views: ViewSet, unit: float) -> Float[Tensor, "n v h w"]:
    """Natural logarithm of depth in units, with the sky at :data:`FAR`; distances to 1 / FAR are told apart."""
    if views.depth is None:
        raise ValueError("Log-depth needs views with depth.")
    depth = views.depth[:, :, 0] / unit
    return torch.where(depth > 0, depth, FAR).clamp(1 / FAR, FAR).log()
