"""The calibration beside a scene model's weights, and whether it belongs to a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvdiff.sampling.scene_settings import SceneGenerationConfig
from recon.core.paths import is_file
from recon.core.reading import reading
from recon.posterior.scene_calibration import SceneCalibration

FILE = "scene_calibration.json"
#: Settings on which the sampled distribution depends.
_SETTINGS = ("num_inference_steps", "guidance_scale", "stations", "station_steps")
_UNKNOWN = "Not calibrated: the spread of a few hypotheses is narrower than the true uncertainty."


@dataclass(frozen=True)
class SceneStatement:
    """A calibration, if there is one for these weights, and what it promises."""

    calibration: SceneCalibration | None = None
    note: str = ""
    """Reason why there is none."""

    @staticmethod
    def find(folder: Path, weights: Mapping[str, Any]) -> "SceneStatement":
        """Read the file beside the weights in ``folder``. That of other weights is left out with a note.

        Raises:
            InputError: the file is damaged.
        """
        if not is_file(folder / FILE):
            return SceneStatement()
        found = SceneCalibration.load(folder / FILE)
        if found.provenance.get("weights", {}).get("sha256") != weights["sha256"]:
            return SceneStatement(note="The calibration beside these weights is of other weights.")
        statement = SceneStatement(found)
        with reading(folder / FILE, "scene calibration", "calibrate again (tools/evaluate.py scene-calibrate)"):
            statement.to_json(SceneGenerationConfig())  # of damaged figures no sentence can be made
        return statement

    def to_json(self, config: SceneGenerationConfig) -> dict[str, Any]:
        """Name of the calibration and one sentence about how it held on scenes that were left out of its fit."""
        if self.calibration is None:
            return {"name": None, "statement": " ".join(filter(None, (self.note, _UNKNOWN)))}
        return {"name": self.calibration.name, "statement": self._sentence(config)}

    def _sentence(self, config: SceneGenerationConfig) -> str:
        assert self.calibration is not None
        counts = [int(count) for count in self.calibration.held_out]
        count = max([known for known in counts if known <= config.num_hypotheses] or [min(counts)])
        held = self.calibration.held_out[str(count)]
        made = self.calibration.provenance
        sentence = (
            f"Calibrated on {len(made.get('scenes', ()))} procedural scenes with known cameras: on scenes left out, "
            f"90 % depth intervals hold {held['coverage_seen_0.9']:.0%} of the rays that the photo sees and "
            f"{held['coverage_unseen_0.9']:.0%} of others"
        )
        if held.get("free_right") is not None:
            sentence += f"; {held['free_right']:.0%} of the space called free at 95 % is free"
        settings = made.get("settings", {})
        other = [name.replace("_", " ") for name in _SETTINGS if settings.get(name) != getattr(config, name)]
        if other:
            sentence += f". It was made with other {' and '.join(other)}, so it may not hold here"
        return sentence + "."
