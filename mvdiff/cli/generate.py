"""``mvdiff generate``: photos to hypotheses."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mvdiff.cli.finished import finished_record, finished_sentence
from mvdiff.cli.geometry import GeometryChoice
from mvdiff.cli.model_choice import Calibration, Generation, ModelChoice
from mvdiff.cli.photos import check_all_used, find_photos, output_folders, prepare_all
from mvdiff.cli.progress import progress_bars
from mvdiff.cli.selection import SelectionChoice
from mvdiff.cli.terminal import say
from mvdiff.sampling.generation import GenerationConfig, Preset
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.helpers.selecting import Segmenter
    from mvdiff.runs.image_to_3d import ImageTo3D
    from recon.io.images.selection import Selection


@dataclass(frozen=True)
class Command:
    """Turn each photo into N textured 3D hypotheses, their posterior and a report.

    The same command resumes an interrupted run.
    """

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO…")]
    """Images, or folders of images. A cut-out with transparency is used as it is."""
    output_dir: str = "out"
    """Folder or fsspec URL (s3://, gs://) for the results; with several photos, one subfolder each."""
    config: Generation = field(default_factory=GenerationConfig)
    model: Annotated[ModelChoice, tyro.conf.OmitArgPrefixes] = field(default_factory=ModelChoice)
    selection: Annotated[SelectionChoice, tyro.conf.OmitArgPrefixes] = field(default_factory=SelectionChoice)
    geometry: Annotated[GeometryChoice, tyro.conf.OmitArgPrefixes] = field(default_factory=GeometryChoice)
    preset: Preset = "default"
    """Quality of the reconstruction; "fast" is a draft, "quality" a finer grid. Both are uncalibrated."""
    calibration: Calibration = "default"
    """Calibration to apply: a file, "none", or "default" (the one shipped with the weights)."""
    overwrite: bool = False
    """Replace results of other inputs or settings in the output folder."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        self.config.check()
        photos = find_photos(self.photos)
        folders = output_folders(self.photos, photos, self.output_dir)
        selections = self.selection.places(photos)
        segmenter = self.selection.load(self.model.device)
        geometry = self.geometry.load(self.model.device)
        model = replace(self.model.load(self.preset, self.calibration), geometry=geometry)
        model.check(self.config)
        if selections:
            self._run_selected(model, photos[0], selections, segmenter)
            return
        prepared = prepare_all(photos, lambda photo: model.prepare(photo, self.config))
        runs = []
        for (photo, reference), folder in zip(prepared.items(), folders, strict=True):
            if isinstance(reference, InputError):
                continue
            with progress_bars(photo.name) as progress:
                model.generate(photo, folder, self.overwrite, progress, reference=reference, **asdict(self.config))
            runs.append(finished_record(photo, folder, reference.matte.warnings))
            if not self.json:
                say(finished_sentence(runs[-1]))
        self._print(model, runs)
        check_all_used(prepared)

    def _run_selected(
        self, model: "ImageTo3D", photo: Path, selections: "list[Selection]", segmenter: "Segmenter | None"
    ) -> None:
        from mvdiff.runs.selected import SCENE, generate_selected, object_folders, prepare_selected

        folders = object_folders(self.output_dir, len(selections))
        references = prepare_selected(model, photo, selections, segmenter, self.config)
        fov = None if model.geometry is None else model.geometry.see(photo).fov
        generate_selected(
            model, photo, references, self.output_dir, self.overwrite, progress_bars, fov, **asdict(self.config)
        )
        runs = [
            finished_record(photo, folder, ref.matte.warnings) for folder, ref in zip(folders, references, strict=True)
        ]
        if not self.json:
            scene = [f"{self.output_dir}/{SCENE}: all objects in one frame"] if len(runs) > 1 else []
            say("\n".join([*map(finished_sentence, runs), *scene]))
        self._print(model, runs)

    def _print(self, model: "ImageTo3D", runs: list[dict[str, Any]]) -> None:
        if self.json:
            print(json.dumps({"device": str(model.device), "weights": model.weights, "runs": runs}, allow_nan=False))
