"""Everything a training run can be told, in one place; YAML files hold only what differs."""

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mvdiff.data.batch import BatchConfig
from mvdiff.data.render.record import RecordConfig
from mvdiff.sampling.settings import SamplingConfig
from mvdiff.training.lora import LoraConfig
from mvdiff.training.losses import LossConfig
from mvdiff.training.scenes.config import SceneTrainingConfig
from mvdiff.training.tracking import LoggingConfig
from recon.core.errors import InputError
from recon.core.reading import read_yaml, reading


@dataclass
class ModelConfig:
    """Arguments of the networks; empty means their own defaults."""

    transformer: dict[str, Any] = field(default_factory=dict)
    camera_estimator: dict[str, Any] = field(default_factory=dict)
    init_from: str | None = None
    """Folder of weights to continue from, with a fresh optimizer ("embedded" is the shipped model)."""
    init_components: list[str] = field(default_factory=lambda: ["transformer", "camera_estimator"])
    """Networks to load from ``init_from``; the others are initialized at random."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Whether to torch.compile the networks; "auto" does on CUDA. On the CPU it needs a C++ compiler."""
    gradient_checkpointing: bool = False
    learnt_guidance: float | None = None
    """CFG scale to distill into the conditional pass, so that sampling at it takes one pass (model guidance, Tang et
    al. 2025). Needs weights to continue from; None keeps their scale."""
    guidance_below: float | None = None
    """Noise level above which the network stays unguided, as guidance near pure noise removes what a photo leaves open.
    None keeps that of the weights to continue from; 1 guides everywhere."""
    guidance_refresh: int = 0
    """Replace the guidance teacher by the EMA weights every N steps; 0 keeps the initial teacher."""


@dataclass
class DataConfig:
    """Objects to train on, their frequency, and the storage of their images."""

    stores: list[str] = field(default_factory=list)
    """Data sets made by `mvdiff data render` or `mvdiff data import`: folders, or URLs for fsspec."""
    capacity: int | None = None
    """Objects of the data sets in memory at a time, if not all fit; ``refresh_per_step`` then exchanges them."""
    packs: list[str] = field(default_factory=list)
    """Mesh packs or folders of meshes (glob patterns), rendered at the start and again while training."""
    variants: int = 1
    """Records of each mesh of the packs; all but the first are warped."""
    procedural: int = 0
    """Number of procedural objects, of all families."""
    ambiguous: int = 0
    """Number of further procedural objects, of the families whose hidden attribute has a known distribution."""
    procedural_seed: int = 1_000_000
    """First seed of the procedural objects; validation uses the seeds just below it."""
    holdout_every: int = 64
    """Hold out every n-th object for validation; of a small data set, about four."""
    groups: dict[str, float] = field(default_factory=lambda: {"*": 1.0})
    """Sampling weights by name pattern; an object belongs to the first pattern that matches."""
    refresh_per_step: int = 0
    """Largest number of objects rendered again per step, with new warps and lights, by ``workers``."""
    device: Literal["auto", "cpu"] = "auto"
    """Device that holds the images; auto is the training device."""
    workers: int = 0
    """Processes that render, before and during training; 0 renders in the training process."""
    record: RecordConfig = field(default_factory=RecordConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)


@dataclass
class OptimizerConfig:
    name: Literal["muon", "adamw", "adamw8bit"] = "muon"
    """Optimizer: "muon" (Jordan 2024; AdamW outside the blocks' matrices), "adamw", or "adamw8bit" (bitsandbytes)."""
    scheduler: Literal["warmup_stable_decay", "constant", "constant_with_warmup", "linear", "cosine"] = (
        "warmup_stable_decay"
    )
    learning_rate: float = 6e-4
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.95)
    max_grad_norm: float = 1.0
    warmup_steps: int = 200
    decay_fraction: float = 0.35
    """Last share of the run, over which warmup_stable_decay falls linearly to ``final_rate``."""
    final_rate: float = 0.02
    ema_decay: float = 0.9995


@dataclass
class ValidationConfig:
    every_steps: int = 0
    every_seconds: float = 0.0
    objects: int = 64
    sampled_objects: int = 8
    hypotheses: int = 2
    """Hypotheses sampled per object, with fixed seeds."""
    num_inference_steps: int = SamplingConfig.num_inference_steps
    guidance_scale: float = SamplingConfig.guidance_scale
    patience: int = 0
    """Early stopping after this many validations without a better loss; the best weights are exported. 0 is off."""


@dataclass
class TrainConfig:
    output_dir: str = "runs/train"
    task: Literal["objects", "scenes"] = "objects"
    """Model to train; the pictures, views and loss of scenes are set under ``scenes``."""
    seed: int = 0
    batch_size: int = 64
    """Batch size of one process, before accumulation, in objects."""
    max_steps: int = 10_000
    max_seconds: float | None = None
    """Wall-clock budget in seconds, rendering included; the schedule follows whichever limit ends first."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "bf16"
    gradient_accumulation_steps: int = 1
    checkpoint_every_steps: int = 0
    checkpoint_every_seconds: float = 0.0
    checkpoints_total_limit: int = 2
    resume: str | None = None
    """Checkpoint to resume from: "latest" or a folder."""
    overwrite: bool = False
    """Start over in a folder that holds checkpoints of an earlier run."""
    model: ModelConfig = field(default_factory=ModelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    scenes: SceneTrainingConfig = field(default_factory=SceneTrainingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)


_UNIONS = (UnionType, Union)  # X | None of classes, and of Literals before Python 3.14


def apply_overrides(config: Any, overrides: dict[str, Any], where: str = "") -> None:
    """Write nested ``overrides`` into a dataclass, refusing names that it does not have."""
    known, types = {f.name: f for f in fields(config)}, get_type_hints(type(config))
    for name, value in overrides.items():
        if name not in known:
            raise InputError(f"Unknown setting '{where}{name}'; known here: {', '.join(known)}.")
        current = getattr(config, name)
        if is_dataclass(current):
            if not isinstance(value, dict):
                raise InputError(f"Setting '{where}{name}' holds several values, write it as a mapping.")
            apply_overrides(current, value, f"{where}{name}.")
        elif isinstance(current, tuple) and isinstance(value, list):
            setattr(config, name, tuple(value))
        elif isinstance(current, float) and isinstance(value, int):
            setattr(config, name, float(value))
        elif not _fits(value, types[name]):
            raise InputError(f"Setting '{where}{name}' takes {_describe(types[name])}, got {value!r}.")
        else:
            setattr(config, name, value)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a YAML value has the annotated type; elements of lists and mappings are not checked."""
    origin = get_origin(annotation)
    if origin is Literal:
        return value in get_args(annotation)
    if origin in _UNIONS:
        return any(_fits(value, choice) for choice in get_args(annotation))
    if annotation is float:  # YAML writes whole numbers without a point
        return isinstance(value, float | int) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or annotation)


def _describe(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(repr, get_args(annotation)))
    if get_origin(annotation) in _UNIONS:
        return " or ".join("null" if choice is NoneType else _describe(choice) for choice in get_args(annotation))
    return (get_origin(annotation) or annotation).__name__


def load_config(path: str | Path) -> TrainConfig:
    """Defaults overridden by a YAML file."""
    path = Path(path)
    with reading(path, "YAML config", "mend it"):
        overrides = read_yaml(path) or {}
    if not isinstance(overrides, dict):
        raise InputError(f"The config {path} must be a mapping of settings.")
    config = TrainConfig()
    apply_overrides(config, overrides)
    return config


#: Settings that change no training step: destination, duration and logging.
_FREE = ("output_dir", "resume", "overwrite", "checkpoint", "logging", "validation", "max_seconds")
#: Settings that saved weights and moments depend on.
_FIXED = (
    "lora.rank",
    "lora.targets",
    "lora.camera_targets",
    "optimizer.name",
    "model.transformer",
    "model.camera_estimator",
)


def changed_settings(before: dict[str, Any], config: TrainConfig) -> list[str]:
    """List the differences between ``config`` and a checkpoint's settings that change the training steps.

    Raises :class:`InputError` for differences that make the checkpoint unusable.
    """
    old, new = _flat(before), _flat(_jsonable(asdict(config)))
    if old.get("lora.rank"):  # before it was a setting, no camera estimator was adapted
        old.setdefault("lora.camera_targets", [])
    changed = [name for name in old if name in new and old[name] != new[name] and not name.startswith(_FREE)]
    fatal = [name for name in changed if name.startswith(_FIXED)]
    if fatal:
        name = fatal[0]
        raise InputError(
            f"The checkpoint was made with {name} {old[name]}, not {new[name]}: resume with its own settings, or begin "
            "a new run from its exported weights (--model.init-from)."
        )
    return [f"{name} is {new[name]}, was {old[name]}" for name in changed]


def _jsonable(value: Any) -> Any:
    """As JSON would give it back."""
    return json.loads(json.dumps(value))


def _flat(values: dict[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{where}{name}.") if isinstance(value, dict) else {f"{where}{name}": value}
    return flat
