"""``mvdiff feedback``: a finished run and a judgement of its hypotheses to more of the right kind."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from recon.errors import InputError


@dataclass(frozen=True)
class Command:
    """Keep some hypotheses of a finished run, reject others, and sample more like those that were kept.

    The judgement also weighs the hypotheses that look like judged ones. The results are a complete output folder of
    their own, with the kept hypotheses first.
    """

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The output folder of a finished run."""
    keep: str = ""
    """Numbers of hypotheses that may be true, as 0,3."""
    reject: str = ""
    """Numbers of hypotheses that are wrong."""
    strength: float = 0.7
    """How far new hypotheses may move from the kept ones: near 0 not at all, 1 as if there were none."""
    output_dir: Path | None = None
    """Where the new run goes; by default beside the old one, as OUT-feedback."""
    resample: bool = True
    """Sample new hypotheses; --no-resample only weighs the old ones, at once."""
    num_hypotheses: int | None = None
    """Kept and new ones together; by default as many as before."""
    seed: int | None = None
    """Of the new hypotheses; by default the old one plus 1."""
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
        keep, reject = numbers("keep", self.keep), numbers("reject", self.reject)
        if not keep and not reject:
            raise InputError("Name hypotheses: --keep 0,3 or --reject 5.")
        from mvdiff.cli.models import load_model
        from mvdiff.cli.progress import progress_bars
        from mvdiff.cli.refine import print_change
        from mvdiff.pipelines.generation_folder import GenerationFolder
        from mvdiff.pipelines.refinement import feedback

        GenerationFolder.open(self.run_dir)  # before the weights are read
        model = load_model(self.weights, self.device, self.preset, self.lora)
        output_dir = self.output_dir or self.run_dir.with_name(f"{self.run_dir.resolve().name}-feedback")
        with progress_bars(self.run_dir.name) as progress:
            change = feedback(
                model,
                self.run_dir,
                output_dir,
                keep,
                reject,
                self.resample,
                self.strength,
                self.num_hypotheses,
                self.seed,
                self.overwrite,
                progress,
            )
        print_change(output_dir, change.record, self.json)


def numbers(name: str, text: str) -> list[int]:
    """ "0,3" to [0, 3]."""
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    if not all(re.fullmatch(r"\d+", part) for part in parts):
        raise InputError(f"--{name} takes numbers of hypotheses as 0,3, not '{text}'.")
    return [int(part) for part in parts]
