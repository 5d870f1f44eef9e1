"""The training command's arguments: a YAML file, then settings by their dotted name or by diffusers' name.

``--train_batch_size 8`` of diffusers' training scripts is ``--batch-size 8`` here; both are the same setting.
"""

from collections.abc import Sequence

from mvdiff.training.config import TrainConfig, load_config
from recon.core.errors import InputError

#: diffusers' name to ours. Names that are the same there and here (seed, output_dir, mixed_precision …) are missing.
ALIASES = {
    "pretrained_model_name_or_path": "model.init_from",
    "data": "data.stores",
    "train_data_dir": "data.stores",
    "train_batch_size": "batch_size",
    "max_train_steps": "max_steps",
    "checkpointing_steps": "checkpoint_every_steps",
    "resume_from_checkpoint": "resume",
    "learning_rate": "optimizer.learning_rate",
    "lr_scheduler": "optimizer.scheduler",
    "lr_warmup_steps": "optimizer.warmup_steps",
    "optimizer": "optimizer.name",
    "adam_weight_decay": "optimizer.weight_decay",
    "max_grad_norm": "optimizer.max_grad_norm",
    "report_to": "logging.trackers",
    "tracker_project_name": "logging.project",
    "validation_steps": "validation.every_steps",
    "rank": "lora.rank",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
}
#: Flags without a value.
_FLAGS = {
    "gradient_checkpointing": ("--model.gradient-checkpointing",),
    "use_8bit_adam": ("--optimizer.name", "adamw8bit"),
}


def parse_arguments(arguments: Sequence[str], description: str | None = None) -> TrainConfig:
    """Defaults, overridden by the file after ``--config``, overridden by the other arguments in turn."""
    import tyro

    default, rest = TrainConfig(), _split(arguments)
    while "--config" in rest:
        place = rest.index("--config")
        if place + 1 == len(rest):
            raise InputError("--config takes the path of a YAML file.")
        default = load_config(rest[place + 1])
        rest = rest[:place] + rest[place + 2 :]
    return tyro.cli(TrainConfig, args=_translated(rest), default=default, description=description)


def _split(arguments: Sequence[str]) -> list[str]:
    """``--name=value`` as two words."""
    return [part for given in arguments for part in (given.split("=", 1) if given.startswith("--") else [given])]


def _translated(arguments: list[str]) -> list[str]:
    translated: list[str] = []
    for given in arguments:
        name = given.removeprefix("--").replace("-", "_")
        if not given.startswith("--"):
            translated.append(given)
        elif name in _FLAGS:
            translated += _FLAGS[name]
        else:
            translated.append(f"--{ALIASES.get(name, name).replace('_', '-')}")
    return translated
