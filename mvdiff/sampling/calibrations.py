"""The calibrations of a model: one file beside its weights, with one :class:`Calibration` for each framing."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import msgspec

from mvdiff.sampling.generation import Framing
from mvdiff.sampling.settings import RENAMED, UNRECORDED, SamplingConfig
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.reading import read_json, reading
from recon.io.folders import write_json
from recon.posterior.calibration import Calibration

FILE = "calibration.json"
_FORMAT = "mvdiff-calibrations/1"
#: Reconstructor of the calibrations that do not name theirs.
_DEFAULT_RECONSTRUCTOR = {"reconstructor": "ReconstructionConfig"}


def save_calibrations(path: Path, calibrations: Mapping[str, Calibration], weights: Mapping[str, Any]) -> Path:
    entries = {framing: calibration.to_dict() for framing, calibration in calibrations.items()}
    return write_json(path, {"format": _FORMAT, "weights": dict(weights), "framings": entries})


def settings_of(generation: SamplingConfig, reconstruction: Any, depth: bool = True) -> dict[str, Any]:
    """Settings that a run must share with its calibration, as JSON values: those that change shapes, not looks.

    Args:
        generation: settings of sampling.
        reconstruction: settings of the reconstructor; its class names the reconstructor.
        depth: whether the sampled views have depth: what carves views without it has no part in their shapes then.
    """
    shape, looks = asdict(reconstruction), {"texture", "max_faces"} | ({"carve"} if depth else set())
    kept = {name: value for name, value in shape.items() if name not in looks}
    own = {"reconstruction": kept, "reconstructor": type(reconstruction).__name__}
    return json.loads(json.dumps(generation.sampling | own))


def owner_of(weights: Mapping[str, Any]) -> tuple[Any, ...]:
    """Identity of a model from the record of its weights.

    Another adapter, scale of it, reconstructor or encoder of the registration is another model.
    """
    names = ("backbone", "revision", "sha256", "lora_sha256", "lora_scale")
    parts = ("reconstructor", "features")
    return *(weights.get(name) for name in names), *(weights.get(part, {}).get("sha256") for part in parts)


def read_calibrations(path: Path) -> tuple[dict[str, Calibration], dict[str, Any]]:
    """By framing, and the record of the weights that they belong to."""
    with reading(path, "calibration", "run `mvdiff calibrate` again"):
        content = read_json(path, _Saved)
        return {name: Calibration.from_dict(entry) for name, entry in content.framings.items()}, content.weights


class _Saved(msgspec.Struct, frozen=True):
    format: Literal["mvdiff-calibrations/1"]
    framings: dict[Framing, dict[str, Any]]
    weights: dict[str, Any]


class Calibrations:
    """Calibrations of a model by framing; ``note`` gives the reason if there are none."""

    def __init__(self, by_framing: Mapping[str, Calibration] | None = None, note: str | None = None) -> None:
        self.by_framing, self.note = dict(by_framing or {}), note

    @staticmethod
    def find(source: str, folder: Path, weights: Mapping[str, Any]) -> "Calibrations":
        """``source``: default (the file in the ``folder`` of the ``weights``), none, or a file.

        Those of other weights are refused where they were named, and left out with a note where they were found.
        """
        if source == "none":
            return Calibrations(note="No calibration was wanted.")
        path = folder / FILE if source == "default" else Path(source)
        if source == "default" and not is_file(path):
            return Calibrations(note="These weights have no calibration: run `mvdiff calibrate`.")
        found, owner = read_calibrations(path)
        if owner_of(owner) == owner_of(weights):
            return Calibrations(found)
        if source != "default":
            raise InputError(f"'{path}' calibrates other weights: run `mvdiff calibrate` with these.")
        return Calibrations(note="The calibration beside these weights is of other weights: run `mvdiff calibrate`.")

    def choose(self, framing: Framing, settings: Mapping[str, Any]) -> tuple[Calibration | None, tuple[str, ...]]:
        """The one for a run of ``settings``, with what a reader must know about it."""
        if not self.by_framing:
            return None, (self.note,) if self.note else ()
        calibration = self.by_framing.get(framing)
        if calibration is None:
            return None, (f"The calibration has nothing for the framing {framing}: run `mvdiff calibrate` with it.",)
        known = _with_current_names(calibration.provenance.get("settings", {}))
        made_with = UNRECORDED | _DEFAULT_RECONSTRUCTOR | known
        other = [name for name, value in settings.items() if name in made_with and made_with[name] != value]
        if not other:
            return calibration, ()
        names = " and ".join(name.replace("_", " ") for name in other)
        note = (
            f"Uncalibrated: the calibration was made with other settings ({names}). Run `mvdiff calibrate` with these."
        )
        return None, (note,)


def _with_current_names(settings: Any) -> Any:
    """Recorded settings under the names that their fields have today."""
    if not isinstance(settings, dict):
        return settings
    return {RENAMED.get(name, name): _with_current_names(value) for name, value in settings.items()}
