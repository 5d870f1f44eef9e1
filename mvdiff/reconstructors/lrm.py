"""InstantMesh's large reconstruction model as a reconstructor of any pinhole views."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.models.lrm.cameras import camera_vectors, network_points
from mvdiff.models.lrm.model import IGNORED, LargeReconstructionModel, LRMConfig, published_name
from mvdiff.reconstructors.pictures import spread_views, square_on_white
from mvdiff.weights.folders import weight_files
from mvdiff.weights.published import load_published, read_published
from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.reading import file_sha256
from recon.core.views import ViewSet
from recon.fusion.reconstructor import ReconstructorInfo
from recon.fusion.tsdf import FusedFields
from recon.ops.sdf import distance_near_surface

#: Repository and files of the published checkpoints, which are pickles.
REPOSITORY, CHECKPOINTS = "TencentARC/InstantMesh", ("instant_mesh_large.ckpt", "instant_mesh_base.ckpt")
#: What begins the names of the network's tensors in a checkpoint.
PREFIX = "lrm_generator."
#: Side of the pictures that the network was trained on, and its number of views.
SIZE, VIEWS = 320, 6
#: Points decoded at a time: bounds the memory.
_CHUNK = 2**17


@dataclass(frozen=True)
class LRMReconstructor:
    """:class:`~recon.fusion.reconstructor.Reconstructor` on a :class:`LargeReconstructionModel`."""

    model: LargeReconstructionModel
    info: ReconstructorInfo
    size: int = SIZE
    """Side in pixels to which the views are brought; a multiple of the network's patches."""
    max_views: int = VIEWS
    """Number of views that the network is shown at most; of more, those far from each other are taken."""

    @staticmethod
    def from_pretrained(weights: str | Path | None, device: torch.device | str = "cpu") -> "LRMReconstructor":
        """Load a folder with one file of converted weights.

        Args:
            weights: folder with one .safetensors file of InstantMesh's names, with or without ``lrm_generator.``.
            device: place of the network.

        Raises:
            InputError: there are no such weights, or they are of another model.
        """
        path = _weights_file(weights)
        tensors = read_published(weight_files(path.parent), torch.float32, PREFIX)
        try:
            config = LRMConfig.of(tensors)
        except (KeyError, IndexError) as error:
            raise InputError(f"'{path}' holds no weights of the LRM ({error} is missing). {_REMEDY}") from error
        with torch.device("meta"):
            model = LargeReconstructionModel(config)
        load_published(model, tensors, published_name, path, IGNORED)
        record = {"name": path.name, "sha256": file_sha256(path)}
        return LRMReconstructor(model.to(device).eval(), ReconstructorInfo("lrm", "Apache-2.0", record))

    @torch.no_grad()
    def fields(self, views: ViewSet, grid: VoxelGrid) -> FusedFields:
        """Distances and colors of each hypothesis, one after the other: each depends on its own views only."""
        made = [self._field(views[k], grid, k) for k in range(len(views))]
        values, colors = (torch.stack(part) for part in zip(*made, strict=True))
        return FusedFields(values, grid, views.alpha.new_ones(views.alpha.shape[:2]), (1.0,) * len(views), colors)

    def planes(self, views: ViewSet) -> Float[Tensor, "1 3 c s s"]:
        """Triplane of the object that ``views`` [1 v] show."""
        place = next(self.model.parameters()).device
        kept = views.select_views(spread_views(views.cameras[0], self.max_views)).to(place)
        pictures, cameras = square_on_white(kept, self.size)
        return self.model(pictures, camera_vectors(cameras))

    def _field(
        self, views: ViewSet, grid: VoxelGrid, k: int
    ) -> tuple[Float[Tensor, "g g g"], Float[Tensor, "3 g g g"]]:
        planes, size = self.planes(views), (grid.resolution,) * 3
        points = network_points(grid.points()).reshape(1, -1, 3).to(planes)
        decoder = self.model.decoder
        raw = torch.cat([decoder.distances(planes, part) for part in points.split(_CHUNK, 1)], 1).reshape(size)
        outside = raw[:: grid.resolution - 1, :: grid.resolution - 1, :: grid.resolution - 1].sign().unique()
        if len(outside) != 1 or bool((raw.sign() == outside).all()):
            raise InputError(
                f"The LRM finds no object in the views of hypothesis {k}: give views that show a whole object, "
                "or pass --reconstructor fusion."
            )
        distance = distance_near_surface(raw * outside, grid.spacing)
        near = (distance.abs() < 2 * grid.spacing).flatten().nonzero()[:, 0]
        seen = [decoder.colors(planes, part)[0] for part in points[:, near].split(_CHUNK, 1)]
        colors = distance.new_full((3, distance.numel()), 0.5)
        colors[:, near] = torch.cat(seen).clamp(0, 1).T
        return distance.to(views.device), colors.unflatten(1, size).to(views.device)


_REMEDY = (
    f"Fetch {CHECKPOINTS[0]} of huggingface.co/{REPOSITORY}, convert it by `mvdiff models convert` and pass the folder "
    "of the result as --reconstructor-weights FOLDER."
)


def _weights_file(folder: str | Path | None) -> Path:
    """The one file of weights in a folder. Raises :class:`InputError` where there is none, or several."""
    if folder is None:
        raise InputError(f"The reconstructor lrm needs weights. {_REMEDY}")
    found = sorted(Path(folder).glob("*.safetensors"))
    if not found:
        raise InputError(f"'{folder}' holds no .safetensors file. {_REMEDY}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"'{folder}' holds several files of weights ({names}): leave one of them there.")
    return found[0]
