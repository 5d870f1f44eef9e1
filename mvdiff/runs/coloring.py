"""Colors of meshes that were made elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mvdiff.backbones.painting import Painter, paint
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.mesh import TexturedMesh


@dataclass(frozen=True)
class Coloring:
    """Colors of meshes of other origin."""

    project_photo: bool = False
    """Whether the photo is projected onto the meshes, in place of colors of their own."""
    painter: Painter | None = None
    """Source of colors where the photo shows nothing."""

    @property
    def record(self) -> dict[str, Any]:
        """Entries of the manifest; none where the meshes keep their colors."""
        if not self.project_photo:
            return {}
        return {"project_photo": True} | ({} if self.painter is None else {"painter": self.painter.record})

    def of(
        self, meshes: Sequence[TexturedMesh], reference: ReferenceImage, cameras: PhotoCamera
    ) -> Sequence[TexturedMesh]:
        """Meshes in the photo's frame, painted where that is wanted."""
        if not self.project_photo:
            return meshes
        return paint(meshes, reference, cameras, [hypothesis_seed(0, k) for k in range(len(meshes))], self.painter)
