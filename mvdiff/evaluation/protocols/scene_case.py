"""A scene that is known: its photo, cameras that walk through it, and what they truly see."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.data.scenes.frame import PHOTO_DEPTH, photo_frame, photo_median, to_photo_frame
from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.metrics.covisibility import pixels_seen_from

#: Largest depth, in multiples of the photo's median depth; farther surfaces and the sky are clamped to it.
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
    """Views [1 v] of the case's cameras with each value in turn."""


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
    measured: Bool[Tensor, "v h w"] | None = None
    """Real pictures: pixels whose depth was measured, which alone are judged. None: all, and depth 0 is sky."""

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
            measured=None if self.measured is None else self.measured[views],
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
    def judged(self) -> Bool[Tensor, "v h w"]:
        """Pixels that count."""
        return torch.ones_like(self.surface) if self.measured is None else self.measured

    @cached_property
    def unit(self) -> float:
        """Median depth of the photo: lengths are reported in it; that of the photo's frame where none is known."""
        known = self.depth[0][self.surface[0]]
        return float(known.median()) if len(known) else PHOTO_DEPTH

    @cached_property
    def seen(self) -> Bool[Tensor, "v h w"]:
        """Pixels whose surface, or sky, the photo shows."""
        return self.judged & pixels_seen_from(self.cameras, self.depth, self.cameras[0], self.depth[0])

    @cached_property
    def warped(self) -> Bool[Tensor, "v h w"]:
        """Pixels hidden from the photo that a view of an earlier station shows."""
        known = torch.zeros_like(self.seen)
        for station in sorted(set(self.stations)):
            now = torch.tensor([s == station for s in self.stations])
            for k in (k for k, s in enumerate(self.stations) if s < station):
                known[now] |= pixels_seen_from(self.cameras[now], self.depth[now], self.cameras[k], self.depth[k])
        return known & self.hidden_from_photo

    @cached_property
    def unseen(self) -> Bool[Tensor, "v h w"]:
        """Pixels that neither the photo nor an earlier station shows."""
        return self.hidden_from_photo & ~self.warped

    @property
    def hidden_from_photo(self) -> Bool[Tensor, "v h w"]:
        """Pixels that the photo does not show."""
        return self.judged & ~self.seen

    @property
    def masks(self) -> dict[str, Bool[Tensor, "v h w"]]:
        return {
            "seen": self.seen,
            "warped": self.warped,
            "known": self.seen | self.warped,
            "unseen": self.unseen,
            "hidden": self.hidden_from_photo,
        }


def log_depth(views: ViewSet, unit: float) -> Float[Tensor, "n v h w"]:
    """Natural logarithm of depth in units, with the sky at :data:`FAR`; distances to 1 / FAR are told apart."""
    if views.depth is None:
        raise ValueError("Log-depth needs views with depth.")
    depth = views.depth[:, :, 0] / unit
    return torch.where(depth > 0, depth, FAR).clamp(1 / FAR, FAR).log()


def in_photo_frame(views: ViewSet, photo: int, median: float | None = None) -> ViewSet:
    """Views [1 v] with depth, moved and scaled into the world of view ``photo``, whose median depth may be given."""
    assert views.depth is not None
    own = views.cameras.c2w[:, photo]
    known = photo_median(views.depth[:, photo, 0]) if median is None else own.new_tensor([median])
    turned = views.transformed(photo_frame(own)[0])
    c2w = to_photo_frame(views.cameras.c2w, own, known)
    depth = views.depth * (PHOTO_DEPTH / known)[:, None, None, None, None]
    return replace(turned, cameras=replace(views.cameras, c2w=c2w), depth=depth)
