"""``mvdiff refine``: a finished run and another picture of its object to a better one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.pipelines.generation_config import Framing
from recon.errors import InputError


@dataclass(frozen=True)
class Command:
    """Condition a finished run on a second photo, or on one of its sampled views that was painted over.

    The old hypotheses are weighted by how well they predict the picture; then new ones are sampled with it. The results
    are a complete output folder of their own.
    """

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The output folder of a finished run."""
    photo: Path | None = None
    """A second photo of the same object."""
    azimuth: float | None = None
    """Where it was taken from: degrees around the object from the first photo, positive to the right."""
    elevation: float | None = None
    """Of its camera above the horizon in degrees, when known."""
    azimuth_tolerance: float = 5.0
    """By how many degrees the azimuth may be off."""
    edited_view: Path | None = None
    """Instead of a photo: one of OUT/views/NNN/images/*.png, painted over."""
    output_dir: Path | None = None
    """Where the new run goes; by default beside the old one, as OUT-refined."""
    resample: bool = True
    """Sample new hypotheses; --no-resample only weighs the old ones, at once."""
    num_hypotheses: int | None = None
    """How many to sample; by default as many as before."""
    seed: int | None = None
    """Of the new hypotheses; by default the old one plus 1."""
    matting: bool = True
    """Cut the object out of the photo's background when it has no transparency."""
    framing: Framing = "recentre"
    """recentre: any photo. keep: the picture is whole, of a 40 degree lens that aims at the object's centre."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    weights: str = "embedded"
    """The model in this package, or a folder of weights."""
    lora: Path | None = None
    """File of a LoRA adapter that was trained on these weights."""
    preset: str = "default"
    """How the views are turned into meshes."""
    overwrite: bool = False
    """Replace results of other inputs in the output folder."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        if (self.photo is None) == (self.edited_view is None):
            raise InputError("Give either --photo with --azimuth, or --edited-view.")
        if self.photo is not None and self.azimuth is None:
            raise InputError("A second photo needs --azimuth: the degrees around the object from the first photo.")
        from mvdiff.cli.models import load_model
        from mvdiff.cli.progress import progress_bars
        from mvdiff.pipelines.evidence import EditedView, SecondPhoto
        from mvdiff.pipelines.generation_config import GenerationConfig
        from mvdiff.pipelines.generation_folder import GenerationFolder
        from mvdiff.pipelines.refinement import refine

        folder = GenerationFolder.open(self.run_dir)
        if self.edited_view is not None:
            evidence = EditedView.load(self.edited_view, folder, folder.load().views)
        model = load_model(self.weights, self.device, self.preset, self.lora)
        if self.photo is not None:
            reference = model.prepare(self.photo, GenerationConfig(matting=self.matting, framing=self.framing))
            evidence = SecondPhoto(reference, self.azimuth, self.elevation, self.azimuth_tolerance)
        output_dir = self.output_dir or self.run_dir.with_name(f"{self.run_dir.resolve().name}-refined")
        with progress_bars(self.run_dir.name) as progress:
            change = refine(
                model,
                self.run_dir,
                evidence,
                output_dir,
                self.resample,
                self.num_hypotheses,
                self.seed,
                self.overwrite,
                progress,
            )
        print_change(output_dir, change.record, self.json)


def print_change(output_dir: Path, record: dict, as_json: bool) -> None:
    """What a new run made of an old one."""
    if as_json:
        print(json.dumps({"output_dir": str(output_dir), **record}, allow_nan=False))
        return
    names = {"before": "before", "reweighted": "old hypotheses, newly weighted", "after": "after"}
    for key, name in names.items():
        now = record[key]
        print(
            f"{name}: {now['index_entropy_bits']:.2f} bits open ({now['effective_size']:.1f} effective hypotheses), "
            f"ambiguity {now['ambiguity']:.0%}, occupancy entropy {now['occupancy_entropy']:.4f} bit volumes"
        )
    print(f"{output_dir}: open {output_dir / 'report.html'}")
