"""``mvdiff generate``: photos to hypotheses."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.cli.finished import finished_record, finished_sentence
from mvdiff.cli.model_choice import Calibration, Generation, ModelChoice
from mvdiff.cli.photos import check_all_used, find_photos, output_folders, prepare_all
from mvdiff.cli.progress import progress_bars
from mvdiff.cli.terminal import say
from mvdiff.sampling.generation import GenerationConfig, Preset
from recon.core.errors import InputError


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
        model = self.model.load(self.preset, self.calibration)
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
        if self.json:
            print(json.dumps({"device": str(model.device), "weights": model.weights, "runs": runs}, allow_nan=False))
        check_all_used(prepared)
