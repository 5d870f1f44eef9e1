"""``mvdiff calibrate``: correct stated probabilities and coverages by objects of known shape."""

import json
import os
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.cli.terminal import say
from mvdiff.evaluation.config import CalibrationConfig


@dataclass(frozen=True)
class Command:
    """Calibrate the probabilities, bands and intervals of `mvdiff generate` on known meshes.

    Each mesh is rendered, `generate` runs on the picture, and its statements are compared with the mesh. Use meshes
    that the model was not trained on and will not be evaluated on. The same command resumes an interrupted run.
    """

    config: Annotated[CalibrationConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=CalibrationConfig)
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        self.config.check()
        from mvdiff.evaluation.protocols.calibrate import calibrate, summary_lines

        model = self.config.load()
        # The file may be published: names, not the places on this machine.
        command = shlex.join(["mvdiff", *(Path(a).name if os.sep in a else a for a in sys.argv[1:])])
        found = calibrate(self.config, model, command, lambda line: print(line, file=sys.stderr, flush=True))
        if self.json:
            record = {"output": str(self.config.output), "config": asdict(self.config), "weights": model.weights}
            record["calibrations"] = {k: {"name": v.name, "held_out": v.held_out} for k, v in found.items()}
            print(json.dumps(record, default=str, allow_nan=False))
        else:
            say("\n".join([f"{self.config.output}:", *summary_lines(found)]))
