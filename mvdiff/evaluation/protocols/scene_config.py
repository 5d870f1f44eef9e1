"""Settings of the evaluation of scenes. Free of torch, so that the script's help stays fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvdiff.evaluation.benchmarks.machine import config_to_json
from recon.core.errors import InputError
from recon.core.paths import exists

#: Samplers without a network, by the names that --model takes.
BASELINES = ("truth", "extrude", "mean", "nearest")
KINDS = ("room", "flat", "corridor", "hidden_room", "street", "courtyard", "terrain")
#: Of 16 scenes: 7 rooms, 2 flats, 4 streets, 3 terrain, interleaved so that --scenes keeps the shares.
MIXTURE = (
    *("room", "street", "terrain", "room", "flat", "corridor", "street", "room"),
    *("terrain", "room", "courtyard", "hidden_room", "flat", "terrain", "room", "street"),
)


@dataclass(frozen=True)
class SceneSampling:
    """Settings for sampling the views of a scene with a network."""

    num_inference_steps: int = 6
    """Denoising steps of the photo's geometry and what surrounds it."""
    shift: float = 6.0
    """Shift of the noise levels there (Esser et al. 2024)."""
    station_steps: int = 4
    """Denoising steps of views of which a part is known: what surrounds the photo, once its geometry is known, and
    every further place."""
    station_shift: float = 3.0
    """Shift of the noise levels there."""
    guidance_scale: float = 1.0
    """Scale of classifier-free guidance; 1 is none."""


@dataclass(frozen=True)
class SceneEvaluationConfig(SceneSampling):
    model: str = "embedded-scene"
    """Model to score: embedded-scene, a folder of weights, or a baseline: truth, extrude, mean, nearest."""
    data: Path | None = None
    """Real posed pictures to score on (protocol S2): a COLMAP text model, or an RGB-D sequence as 7-Scenes has them.
    Without it, held-out procedural scenes with exact truth (protocol S1)."""
    output: Path = Path("scene.json")
    """Results file. Beside it: .md (table), .png (contact sheet) and .scenes.jsonl (one line per finished scene)."""
    scenes: int = 64
    """Number of scenes, or of start frames of real data."""
    kinds: tuple[str, ...] = MIXTURE
    """Kinds of procedural scenes, taken in turn."""
    num_hypotheses: int = 8
    """Hypotheses per scene."""
    stations: int = 1
    """Places beyond the photo's own whose views are sampled one after the other."""
    copies: bool = False
    """Score N copies of the model's first hypothesis instead: the value of a single guess."""
    reach: float = 1.5
    """Real data: held frames lie within this distance of the photo, in the data's unit."""
    held_frames: int = 12
    """Real data: number of held frames per photo."""
    bank: int = 64
    """Training scenes among which the baseline `nearest` chooses."""
    calibration: Path | None = None
    """Calibration of depth intervals and free space (scene_calibration.json); none by default."""
    seed: int = 0
    """Seed of the hypotheses."""
    device: str = "auto"
    """Device of the network: auto, cpu or cuda."""
    workers: int = 0
    """Processes that render true scenes and threads that score, beside the device; 0 does all in turn."""
    sheet: int = 12
    """Scenes drawn on the contact sheet."""
    overwrite: bool = False
    """Start again even if the output holds results of other settings."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        for name in ("scenes", "num_hypotheses", "held_frames", "bank", "num_inference_steps", "station_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is at least 1, not {getattr(self, name)}.")
        for name in ("stations", "workers", "sheet"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} is 0 or more, not {getattr(self, name)}.")
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise InputError(f"--kinds names {', '.join(unknown) or 'nothing'}: choose from {', '.join(KINDS)}.")
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")
        if self.data is not None and not exists(self.data):
            raise InputError(f"There is no '{self.data}': check --data.")
        if self.data is not None and self.model in ("truth", "extrude", "nearest"):
            raise InputError(f"The baseline '{self.model}' needs exact truth: leave out --data.")

    def identity(self) -> dict[str, Any]:
        """Settings on which the numbers depend, as JSON: a resumed run must agree in all of them."""
        free = ("output", "model", "data", "scenes", "device", "workers", "sheet", "overwrite", "calibration")
        return {name: value for name, value in config_to_json(self).items() if name not in free}
