"""``mvdiff generate``: photos to hypotheses."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mvdiff.cli.geometry import GeometryChoice
from mvdiff.cli.models import Calibration, Generation, ModelChoice
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
    """Quality of the reconstruction; "fast" is a draft, "quality" a finer grid."""
    calibration: Calibration = "default"
    """Calibration to apply: a file, "none", or "default" (the one shipped with the weights)."""
    overwrite: bool = False
    """Replace results of other inputs in the output folder."""
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
            runs.append(_record(photo, folder, reference.matte.warnings))
            if not self.json:
                say(_sentence(runs[-1]))
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
        runs = [_record(photo, folder, ref.matte.warnings) for folder, ref in zip(folders, references, strict=True)]
        if not self.json:
            scene = [f"{self.output_dir}/{SCENE}: all objects in one frame"] if len(runs) > 1 else []
            say("\n".join([*map(_sentence, runs), *scene]))
        self._print(model, runs)

    def _print(self, model: "ImageTo3D", runs: list[dict[str, Any]]) -> None:
        if self.json:
            print(json.dumps({"device": str(model.device), "weights": model.weights, "runs": runs}, allow_nan=False))


def _record(photo: Path, folder: str, notes: Sequence[str]) -> dict[str, Any]:
    """The finished run as it is written: files are rounded, and a complete run says the same again."""
    from mvdiff.runs.folder import FolderStore

    store = FolderStore.open(folder)
    return {
        "photo": str(photo),
        "output_dir": str(folder),
        "files": store.manifest["files"],
        "seconds": store.manifest.get("seconds", {}),
        "summary": store.summary,
        "notes": list(notes),
    }


def _sentence(run: dict[str, Any]) -> str:
    summary = run["summary"]
    modes = len(summary["modes"])
    lines = [
        f"{run['output_dir']}: {summary['num_hypotheses']} hypotheses in {modes} mode{'s' if modes > 1 else ''}, "
        f"ambiguity {summary['ambiguity']['value']:.0%}; open {run['output_dir']}/report.html"
    ]
    lines.append(f"  {summary['calibration']['statement']}")
    return "\n".join([*lines, *(f"  note: {note}" for note in [*run["notes"], *summary["warnings"]])])
