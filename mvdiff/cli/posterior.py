"""``mvdiff posterior``: meshes of any origin and a photo to a posterior."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mvdiff.cli.finished import finished_record, finished_sentence
from mvdiff.cli.model_choice import Device
from mvdiff.cli.progress import progress_bars
from mvdiff.cli.terminal import say
from mvdiff.sampling.generation import FileFormat, GenerationConfig, Matting, Weighting
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.runs.coloring import Coloring

Frame = Literal["auto", "y-up", "z-up", "photo"]


@dataclass(frozen=True)
class Command:
    """Infer the posterior of meshes from any generator or artist, given a photo of their object.

    Each mesh is registered to the photo: up axis, azimuth, elevation, size and place. The result is a run as of `mvdiff
    generate`, for `mvdiff next-view`, `mvdiff export` and `mvdiff refine`.
    """

    meshes: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MESH…")]
    """Meshes of one object (.glb, .gltf, .obj, .ply, .stl, .off, .usd…), a hypothesis each; or folders of meshes."""
    photo: Path
    """Photo of the object. A cut-out with transparency is used as it is."""
    frame: Frame = "auto"
    """Axes of the meshes: "auto" tries every up axis; "y-up" and "z-up" name it; "photo" means +Y up and photographed
    from +Z, as `mvdiff generate` writes meshes."""
    weighting: Weighting = "photo"
    """Weights of the hypotheses: by their agreement with the "photo", or "uniform"."""
    coverage: float = 0.9
    """Share of the true surface that the stated band and intervals are to hold."""
    project_photo: bool = False
    """Project the photo onto the registered meshes as their texture, in place of colors of their own."""
    paint: Annotated[str | None, tyro.conf.arg(metavar="NAME[:FOLDER]")] = None
    """Backbone of views that colors what the projected photo does not show, such as embedded or zero123plus."""
    features: Path | None = None
    """Folder of DINOv2, whose features registration compares beside silhouettes and colors."""
    device: Device = "auto"
    """Device of the networks that --paint and --features name."""
    matting: Matting = True
    """Cut the object out of a photo without transparency."""
    format: FileFormat = "glb"
    """Mesh format of the hypotheses in the output folder."""
    output_dir: str = "out"
    """Folder or fsspec URL (s3://, gs://) for the results."""
    overwrite: bool = False
    """Replace results of other inputs or settings in the output folder."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        from mvdiff.runs.own_meshes import OwnMeshes

        config = GenerationConfig(
            coverage=self.coverage, weighting=self.weighting, matting=self.matting, format=self.format
        )
        config.check()
        meshes = replace(
            OwnMeshes.read(self.meshes, self.photo, self.frame, config),
            coloring=self._coloring(),
            encoder=self._encoder(),
        )
        with progress_bars(self.photo.name) as progress:
            meshes.run(self.output_dir, self.overwrite, progress)
        record = finished_record(self.photo, self.output_dir, meshes.reference.matte.warnings)
        if self.json:
            print(json.dumps(record, allow_nan=False))
        else:
            say(finished_sentence(record))

    def _coloring(self) -> "Coloring":
        from mvdiff.backbones.options import load_painter
        from mvdiff.runs.coloring import Coloring

        if self.paint is not None and not self.project_photo:
            raise InputError("--paint colors what a projected photo does not show: add --project-photo.")
        return Coloring(self.project_photo, None if self.paint is None else load_painter(self.paint, self.device))

    def _encoder(self) -> Any:
        if self.features is None:
            return None
        from mvdiff.helpers.dinov2 import Dinov2Encoder

        return Dinov2Encoder.from_folder(self.features, self.device)
