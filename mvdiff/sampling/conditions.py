"""Conditions beyond the photo."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.views import ViewSet


@dataclass(frozen=True)
class Conditions:
    """Known facts about the n hypotheses of a run; an entry of length one serves all of them."""

    photo_cameras: PhotoCamera | None = None
    """[n]: camera of the photo in each hypothesis, instead of a draw."""
    more_photos: tuple[tuple[ReferenceImage, PhotoCamera], ...] = ()
    """Further photos with their cameras, [1] or [n]."""
    known_views: ViewSet | None = None
    """[1 k] or [n k]: views that are given clean."""
    initial_views: ViewSet | None = None
    """[n v]: views to start from, noised up to ``strength``; their cameras are the targets."""
    strength: float = 1.0
    """Noise level at which sampling starts from ``initial_views``: near 0 they stay, 1 ignores them."""

    def select(self, indices: Sequence[int]) -> "Conditions":
        """The conditions of some of the hypotheses."""
        chosen = list(indices)

        def some(value: Any) -> Any:
            return value if value is None or len(value) == 1 else value[chosen]

        return Conditions(
            photo_cameras=None if self.photo_cameras is None else self.photo_cameras[chosen],
            more_photos=tuple((reference, some(camera)) for reference, camera in self.more_photos),
            known_views=some(self.known_views),
            initial_views=None if self.initial_views is None else self.initial_views[chosen],
            strength=self.strength,
        )

    @property
    def given(self) -> frozenset[str]:
        """Names of the conditions that are set."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "strength"}
        return frozenset(name for name, value in values.items() if value is not None and value != ())
