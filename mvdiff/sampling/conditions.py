"""What is known about the object beyond its photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.views import ViewSet


@dataclass(frozen=True)
class Conditions:
    """For all hypotheses of a run; what has one entry serves all of them."""

    photo_cameras: PhotoCamera | None = None
    """[n]: where the photo was taken from in each hypothesis, instead of a draw."""
    more_photos: tuple[tuple[ReferenceImage, PhotoCamera], ...] = ()
    """Further photos with their cameras, [1] or [n]."""
    known_views: ViewSet | None = None
    """[1 k] or [n k]: views that are given clean."""
    initial_views: ViewSet | None = None
    """[n v]: views to start from, noised up to ``strength``; their cameras are the targets."""
    strength: float = 1.0

    def of(self, indices: Sequence[int]) -> dict[str, Any]:
        """Arguments of :class:`MultiViewDiffusionPipeline` for some of the hypotheses."""
        chosen = list(indices)

        def some(value: Any) -> Any:
            return value if value is None or len(value) == 1 else value[chosen]

        photo_cameras = None if self.photo_cameras is None else self.photo_cameras[chosen]
        initial = None if self.initial_views is None else self.initial_views[chosen]
        known = some(self.known_views)
        return {
            "photo_cameras": photo_cameras,
            "more_photos": tuple((reference, some(camera)) for reference, camera in self.more_photos),
            "known_views": known,
            "initial_views": initial,
            "strength": self.strength,
            "cameras": None if initial is None else initial.cameras,
        }
