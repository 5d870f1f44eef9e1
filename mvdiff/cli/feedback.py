"""``mvdiff feedback``: a finished run and a judgment of its hypotheses to more of the right kind."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from mvdiff.cli.new_run import NewRun
from mvdiff.cli.scene_actions import make_scene_run
from mvdiff.runs.choices import numbers
from recon.core.errors import InputError


@dataclass(frozen=True)
class Command:
    """Keep some hypotheses of a finished run, reject others, and sample more like those that were kept.

    The judgment also weighs the hypotheses that look like judged ones. The results are a complete output folder of
    their own, with the kept hypotheses first.
    """

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The output folder of a finished run."""
    keep: str = ""
    """Hypotheses to accept, by number: 0,3."""
    reject: str = ""
    """Hypotheses to reject, by number."""
    strength: float = 0.7
    """Strength of the change, as in image-to-image: near 0 repeats the kept hypotheses, 1 ignores them."""
    new_run: Annotated[NewRun, tyro.conf.OmitArgPrefixes, tyro.conf.arg(name="run")] = field(default_factory=NewRun)

    def run(self) -> None:
        keep, reject = numbers("--keep", self.keep), numbers("--reject", self.reject)
        if not keep and not reject:
            raise InputError("Name hypotheses: --keep 0,3 or --reject 5.")
        from mvdiff.runs.run_folder import holds_scenes

        if holds_scenes(self.run_dir):
            from mvdiff.runs.scene_refine import feedback_scene

            run = self.new_run
            chosen: dict[str, Any] = {"keep": keep, "reject": reject, "strength": self.strength}
            chosen |= {"resample": run.resample, "num_hypotheses": run.num_hypotheses}
            make_scene_run(run, self.run_dir, "feedback", partial(feedback_scene, **chosen))
            return
        from mvdiff.runs.folder import FolderStore
        from mvdiff.runs.refine import feedback

        FolderStore.open(self.run_dir)  # before the weights are read
        model = self.new_run.load_model()
        judged = partial(feedback, keep=keep, reject=reject, strength=self.strength)
        self.new_run.make(model, self.run_dir, "feedback", judged)
