"""The options of verbs that derive a new run from a finished one."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mvdiff.cli.model_choice import ModelChoice
from mvdiff.cli.terminal import say
from mvdiff.sampling.generation import Preset

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D
    from mvdiff.runs.refine import Change


@dataclass(frozen=True)
class NewRun:
    """Output, model and printing of the new run."""

    output_dir: Path | None = None
    """Folder for the new run; by default beside the old one, as OUT-refined or OUT-feedback."""
    resample: Annotated[
        bool,
        tyro.conf.arg(
            help="Only reweight the old hypotheses, which takes seconds.",
            help_behavior_hint="(default: new ones are sampled)",
        ),
    ] = True
    """Sample new hypotheses; otherwise only the weights of the old ones change."""
    num_hypotheses: int | None = None
    """Number of hypotheses of the new run, kept ones included; by default as many as before."""
    seed: int | None = None
    """Seed of the new hypotheses; by default the old seed plus 1."""
    model: Annotated[ModelChoice, tyro.conf.OmitArgPrefixes] = field(default_factory=ModelChoice)
    preset: Preset = "default"
    """Quality of the reconstruction; "fast" is a draft, "quality" a finer grid. Both are uncalibrated."""
    overwrite: bool = False
    """Replace results of other inputs or settings in the output folder."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def load_model(self) -> "ImageTo3D":
        return self.model.load(self.preset)

    def make(self, model: "ImageTo3D", run_dir: Path, kind: str, change: "Callable[..., Change]") -> None:
        """Call ``change`` (a function of :mod:`mvdiff.runs.refine`) and print what it changed."""
        from mvdiff.cli.progress import progress_bars

        output_dir = self.output_dir or run_dir.with_name(f"{run_dir.resolve().name}-{kind}")
        with progress_bars(run_dir.name) as progress:
            changed = change(
                model,
                run_dir,
                output_dir=output_dir,
                resample=self.resample,
                num_hypotheses=self.num_hypotheses,
                seed=self.seed,
                overwrite=self.overwrite,
                progress=progress,
            )
        if self.json:
            print(json.dumps({"output_dir": str(output_dir), **changed.record}, allow_nan=False))
        else:
            say(_sentences(changed.record))
            say(f"{output_dir}: open {output_dir / 'report.html'}")


def _sentences(record: dict[str, Any]) -> str:
    names = {"before": "before", "reweighted": "reweighted, nothing sampled", "after": "after"}
    return "\n".join(
        f"{name}: {record[key]['index_entropy_bits']:.2f} bits open "
        f"({record[key]['effective_size']:.1f} effective hypotheses), ambiguity {record[key]['ambiguity']:.0%}, "
        f"occupancy entropy {record[key]['occupancy_entropy']:.4f} bit volumes"
        for key, name in names.items()
    )
