"""Choices of a new run: backbones, reconstructors and scene mode, and which of them this machine can run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import entry_points
from typing import Any, Literal

from mvdiff.backbones import catalog
from mvdiff.sampling.settings import SamplingConfig
from mvdiff.serving.config import ServerConfig
from mvdiff.weights import licenses
from mvdiff.weights.manifest import read_manifest
from mvdiff.weights.pulled import pulled_folder
from recon.core.errors import InputError

Mode = Literal["object", "scene"]
#: Entry-point group of other packages' backbones; its own module imports torch.
_GROUP = "mvdiff.backbones"
SCENE = "embedded-scene"


@dataclass(frozen=True)
class Choice:
    """One way from a photo to a run, or one way from views to shapes."""

    name: str
    title: str
    does: str
    """Abilities, in whole sentences."""
    license: str
    """License of its weights."""
    mode: Mode = "object"
    install: str | None = None
    """Command that makes it available; None for what is."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings of sampling that suit it."""

    @property
    def available(self) -> bool:
        return self.install is None

    def require(self) -> "Choice":
        """This choice. Raises :class:`InputError` where it is not installed."""
        if self.install is not None:
            raise InputError(f"{self.title} is not available on this server: {self.install}.")
        return self


def backbones(config: ServerConfig) -> list[Choice]:
    """All backbones and the scene mode; what can be run comes first."""
    rows = [_of_checkpoint(row) for row in catalog.CHECKPOINTS if row.kind != "reconstructor"]
    known = {row.name for row in rows}
    others = [each.name for each in entry_points(group=_GROUP) if each.name not in known]
    text = "Views by a backbone of an installed package; see its own documentation."
    rows += [Choice(name, name, text, "stated by its package") for name in sorted(set(others))]
    scene = Choice(
        SCENE,
        "Scenes",
        "Several scenes to walk through, from a photo of a room, a street or a landscape.",
        "Apache-2.0" if config.extras.scene_weights == SCENE else "that of the given weights",
        "scene",
        defaults={"num_inference_steps": 6, "guidance_scale": 1.0},
    )
    return sorted([*rows, scene], key=lambda each: not each.available)


def reconstructors(config: ServerConfig) -> list[Choice]:
    """Ways from views to shapes."""
    remedy = None if config.extras.reconstructor_weights else "start it with --reconstructor-weights FOLDER"
    lrm = "InstantMesh's network, from up to six views; sharp surfaces, no calibration."
    return [
        Choice("fusion", "Fusion", "Fuses and fits the sampled views; needs no weights, calibrated.", "Apache-2.0"),
        Choice("lrm", "LRM", lrm, "Apache-2.0", install=remedy),
    ]


def find(choices: list[Choice], name: str) -> Choice:
    """The choice of this name, which must be available. Raises :class:`InputError` for any other."""
    found = next((each for each in choices if each.name == name), None)
    if found is None:
        raise InputError(f"There is no choice '{name[:60]}': take one of {', '.join(each.name for each in choices)}.")
    return found.require()


def settled(request: Mapping[str, Any], choice: Choice) -> dict[str, Any]:
    """``request`` with the choice's own values for settings of sampling that it leaves at None."""
    plain = {each.name: each.default for each in fields(SamplingConfig)} | dict(choice.defaults)
    return {name: plain[name] if value is None and name in plain else value for name, value in request.items()}


def _of_checkpoint(row: catalog.Checkpoint) -> Choice:
    does = f"{'Shapes' if row.kind == 'shapes' else 'Views'}: {row.views}. What it can do: {row.capabilities}."
    if row.parts and row.vram_gb is not None:
        does += f" It takes {row.vram_gb:g} GB of GPU memory."
    kind = f"{row.license}{', non-commercial use only' if row.non_commercial else ''}"
    return Choice(row.name, row.title, does, kind, "object", _install(row), row.defaults)


def _install(row: catalog.Checkpoint) -> str | None:
    """Command that brings the weights of a checkpoint, None where they are here and may be used."""
    if not row.parts:
        return None
    agreed = not row.non_commercial or row.license.lower() in licenses.accepted()
    if agreed and read_manifest(pulled_folder(row.name)) is not None:
        return None
    accept = f" --accept-license {row.license.lower()}" if row.non_commercial else ""
    return f"run `mvdiff models pull {row.name}{accept}`"
