"""Conditions of a scene beside its photo, for each hypothesis: cameras, further photos, views to start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mvdiff.sampling.scene_camera import SceneCamera
from recon.core.views import ViewSet


@dataclass(frozen=True)
class SceneConditions:
    """Conditions of ``n`` hypotheses; nothing is known by default."""

    cameras: tuple[SceneCamera, ...] | None = None
    """Camera of the photo in each hypothesis; drawn by default."""
    more_photos: ViewSet | None = None
    """[n m]: photos with their cameras in each hypothesis; their geometry is sampled."""
    initial_views: ViewSet | None = None
    """[n 9]: the photo's own geometry and the sphere to start from, noised up to ``strength``."""
    strength: float = 1.0

    @property
    def further_photos(self) -> int:
        return 0 if self.more_photos is None else self.more_photos.num_views

    def cameras_of(self, indices: Sequence[int]) -> list[SceneCamera]:
        """Cameras of the hypotheses ``indices``; empty where they are to be drawn."""
        return [] if self.cameras is None else [self.cameras[k] for k in indices]

    def photos_of(self, indices: Sequence[int]) -> ViewSet | None:
        """Further photos of the hypotheses ``indices``."""
        return None if self.more_photos is None else self.more_photos[list(indices)]

    def start_of(self, indices: Sequence[int]) -> dict[str, Any]:
        """Arguments of the pipeline by which the hypotheses ``indices`` start from known views."""
        start = None if self.initial_views is None else self.initial_views[list(indices)]
        return {"initial_views": start, "strength": self.strength}
