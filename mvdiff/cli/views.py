"""``mvdiff views``: sample views of photos."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.cli.model_choice import Generation, ModelChoice
from mvdiff.cli.photos import check_all_used, find_photos, output_folders, prepare_all
from mvdiff.cli.progress import progress_bars
from mvdiff.cli.terminal import say
from mvdiff.sampling.generation import GenerationConfig
from recon.core.errors import InputError


@dataclass(frozen=True)
class Command:
    """Sample the views of N hypotheses from each photo, without reconstructing them.

    Each hypothesis becomes a folder with a ViewSet, a picture to look at and a transforms.json with RGBA pictures.
    """

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO…")]
    """Images, or folders of images."""
    output_dir: str = "out"
    """Folder or fsspec URL (s3://, gs://) for the results; with several photos, one subfolder each."""
    config: Generation = field(default_factory=GenerationConfig)
    model: Annotated[ModelChoice, tyro.conf.OmitArgPrefixes] = field(default_factory=ModelChoice)
    overwrite: bool = False
    """Replace results of other inputs or settings in the output folder."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        self.config.check()
        if self.config.num_hypotheses == "auto":
            raise InputError("auto needs reconstructed shapes: to sample views alone, give --num-hypotheses a number.")
        photos = find_photos(self.photos)
        folders = output_folders(self.photos, photos, self.output_dir)
        from mvdiff.runs.folder import FolderStore

        model = self.model.load()
        prepared = prepare_all(photos, lambda photo: model.prepare(photo, self.config))
        runs = []
        for (photo, reference), path in zip(prepared.items(), folders, strict=True):
            if isinstance(reference, InputError):
                continue
            inputs = {"verb": "views", **model.inputs(reference, self.config, photo.name)}
            folder = FolderStore.create(path, inputs, self.overwrite)
            if not folder.complete:
                folder.save_photo(reference, photo)
                with progress_bars(photo.name) as progress:
                    views, _ = model.sample(reference, self.config, folder, progress)
                folder.write_transforms(views)
                folder.finish(device=str(model.device))
            said, record = reference.matte.warnings, {"photo": str(photo), "output_dir": str(path)}
            runs.append(record | {"files": folder.manifest["files"], "warnings": list(said)})
            if not self.json:
                sentence = f"{path}: views of {self.config.num_hypotheses} hypotheses in {path}/views"
                say("\n".join([sentence, *(f"  note: {warning}" for warning in said)]))
        if self.json:
            print(json.dumps({"config": asdict(self.config), "weights": model.weights, "runs": runs}, allow_nan=False))
        check_all_used(prepared)
