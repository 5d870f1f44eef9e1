"""Colors for shapes that have none: the photo where it shows the surface, another backbone's views elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.reframe import resized_rgba
from mvdiff.sampling.sampler import SamplingRequest, ViewSampler
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.ops.parallel import in_threads
from recon.surface.projection import project_photo
from recon.surface.texture import TextureConfig

#: Objects whose views are drawn at a time.
_CHUNK = 4


@dataclass(frozen=True)
class Painter:
    """A source of views whose colors are put on shapes of another source, where the photo does not show them."""

    sampler: ViewSampler

    def __post_init__(self) -> None:
        info = self.sampler.info
        if info.gives != "views" or "photo_cameras" not in info.conditions:
            raise InputError(
                f"The backbone {info.name} cannot paint, as it takes no known camera of the photo: "
                "pass --paint embedded or --paint zero123plus."
            )

    @property
    def record(self) -> dict[str, Any]:
        """Identity for manifests."""
        return {"backbone": self.sampler.info.name, "sha256": self.sampler.info.weights.get("sha256")}

    def views(self, reference: ReferenceImage, cameras: PhotoCamera, seeds: Sequence[int]) -> list[ViewSet]:
        """Views [1 v] of one object for each seed, around the photo's camera [n]."""
        shown, found = self._fitting(reference), []
        settings = GenerationConfig(**{**self.sampler.info.defaults, "candidates": 1})
        for start in range(0, len(seeds), _CHUNK):
            part = slice(start, start + _CHUNK)
            conditions = Conditions(photo_cameras=cameras[part])
            drawn = self.sampler.sample(SamplingRequest(shown, seeds[part], settings, conditions=conditions)).views
            found += [drawn[k].to("cpu") for k in range(len(drawn))]
        return found

    def _fitting(self, reference: ReferenceImage) -> ReferenceImage:
        """The same square at the size that the networks take."""
        sizes = self.sampler.info.sizes
        if sizes is None or reference.size == sizes[0]:
            return reference
        return replace(reference, rgba=resized_rgba(reference.rgba, sizes[0]))


def paint(
    meshes: Sequence[TexturedMesh],
    reference: ReferenceImage,
    cameras: PhotoCamera,
    seeds: Sequence[int],
    painter: Painter | None = None,
    config: TextureConfig | None = None,
) -> list[TexturedMesh]:
    """Meshes in the photo's frame painted from the photo, and from the views of a ``painter`` where it shows nothing.

    Args:
        meshes: one for each hypothesis.
        reference: the photo.
        cameras: its camera [n] in each hypothesis.
        seeds: of the painter's views.
        painter: source of colors beyond the photo's; without it they run on along the surface.
        config: settings of the texture.

    Returns:
        Meshes whose attribute ``unseen`` is 1 where the photo shows nothing.
    """
    drawn = [None] * len(meshes) if painter is None else painter.views(reference, cameras, seeds)
    photos = reference.to("cpu").views(cameras.to("cpu"))
    return in_threads(lambda k: project_photo(meshes[k], photos[k], config, drawn[k]), range(len(meshes)))
