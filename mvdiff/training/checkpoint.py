"""Checkpoints: written beside and renamed, so that a run killed at any moment leaves the last one whole.

Everything is safetensors or JSON: loading a checkpoint of a stranger runs no code.
"""

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import Tensor, nn

from mvdiff.training.ema import ExponentialMovingAverage
from mvdiff.training.sharding import share_like, whole
from mvdiff.training.tracking import RESUME
from recon.core.errors import InputError
from recon.core.paths import exists
from recon.core.reading import fit, read_json, read_safetensors, reading, reason
from recon.io.folders import DISK_FULL, place_errors_told

_PREFIX = "checkpoint-"
_REMEDY = "resume from an earlier one"
_PARTIAL, _OLD = ".partial", ".old"


def checkpoint_tensors(
    module: nn.Module,
    ema: ExponentialMovingAverage,
    optimizer: torch.optim.Optimizer,
    teacher: dict[str, Tensor] | None = None,
) -> dict[str, dict[str, Tensor]]:
    """Trained weights, averages and the optimiser's state, each whole: all processes must ask together.

    ``teacher``: weights of one that changes while training.
    """
    parts = {
        "raw": trained_state(module),
        "ema": ema.state_dict(),
        "optimizer": _flatten_optimizer(module, optimizer),
    }
    if teacher:
        parts["teacher"] = teacher
    return {part: {name: whole(value) for name, value in tensors.items()} for part, tensors in parts.items()}


def save_checkpoint(
    folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any], total_limit: int
) -> Path:
    """:func:`checkpoint_tensors` as safetensors, the rest as JSON; the oldest beyond the limit go."""
    final = folder / f"{_PREFIX}{step:07d}"
    temporary = folder / f".{final.name}{_PARTIAL}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with place_errors_told(final, DISK_FULL, RESUME):
            temporary.mkdir(parents=True)
            for part, values in tensors.items():
                save_tensors(values, temporary / f"{part}.safetensors")
            (temporary / "state.json").write_text(json.dumps(state | {"step": step}, indent=1))
    except InputError:  # what is half written takes the room that is missing
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if exists(final):  # moved aside first: at no moment is there no whole checkpoint
        aside = folder / f".{final.name}{_OLD}"
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
        temporary.rename(final)
        shutil.rmtree(aside)
    else:
        temporary.rename(final)
    for old in list_checkpoints(folder)[: -max(1, total_limit)]:
        shutil.rmtree(old)
    return final


def recover(folder: Path) -> None:
    """Put right what a killed run left: a checkpoint that was moved aside comes back, half-written ones go."""
    for aside in folder.glob(f".{_PREFIX}*{_OLD}"):
        final = folder / aside.name.removeprefix(".").removesuffix(_OLD)
        if exists(final):
            shutil.rmtree(aside)
        else:
            aside.rename(final)
    for partial in folder.glob(f".{_PREFIX}*{_PARTIAL}"):
        shutil.rmtree(partial)


def list_checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if exists(path / "state.json"))


def find_checkpoint(folder: Path, resume: str) -> Path:
    if resume != "latest":
        if not exists(Path(resume) / "state.json"):
            raise InputError(f"{resume} is not a checkpoint folder; pass one of {folder} or 'latest'.")
        return Path(resume)
    found = list_checkpoints(folder)
    if not found:
        raise InputError(f"There is no checkpoint in {folder} to resume from.")
    return found[-1]


def read_state(path: Path) -> dict[str, Any]:
    """Record of a checkpoint's run: step, seconds, settings."""
    with reading(path / "state.json", "checkpoint", _REMEDY):
        state = read_json(path / "state.json", dict[str, Any])
        fit(state, _State)
    return state


class _State(msgspec.Struct, frozen=True):
    """The part of a checkpoint's ``state.json`` that a run needs."""

    step: Annotated[int, msgspec.Meta(ge=0, le=10**12)]
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    config: dict[str, Any] = {}


def load_checkpoint(
    path: Path, module: nn.Module, ema: ExponentialMovingAverage, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    state = read_state(path)
    raw, average, moments = (_load_tensors(path, name) for name in ("raw", "ema", "optimizer"))
    try:
        load_trained_state(module, raw)
        ema.load_state_dict(average)
        _restore_optimizer(module, optimizer, moments)
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"The checkpoint {path} is of another model or optimiser than the config says: {reason(error)}."
        ) from error
    return state


def load_teacher(path: Path) -> dict[str, Tensor] | None:
    """Weights of a teacher that had changed by then."""
    return _load_tensors(path, "teacher") if exists(path / "teacher.safetensors") else None


def _load_tensors(path: Path, part: str) -> dict[str, Tensor]:
    file = path / f"{part}.safetensors"
    with reading(file, "checkpoint", _REMEDY):
        return read_safetensors(file)[0]


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """The parameters that train; of a LoRA run that is the adapter alone."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def load_trained_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    own = trained_state(module)
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise KeyError(f"{len(odd)} parameters are on one side only, {odd[0]} among them")
    with torch.no_grad():
        for name, value in own.items():
            if value.shape != state[name].shape:
                raise RuntimeError(f"{name} has the shape {tuple(state[name].shape)} there, {tuple(value.shape)} here")
            value.copy_(share_like(state[name], value))


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save

    # By Python and not by save_file, whose own error would not say that the disk is full.
    path.write_bytes(save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}))


def _flatten_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = {parameter: name for name, parameter in module.named_parameters()}
    flat: dict[str, Tensor] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            # bitsandbytes' code books are the same tensors for all parameters, which safetensors does not write.
            value = value.clone() if key in ("qmap1", "qmap2") else torch.as_tensor(value)
            flat[f"{names[parameter]}|{key}"] = value
    return flat


def _restore_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    parameters = dict(module.named_parameters())
    owner = {parameter: part for part in optimizer.optimizers for g in part.param_groups for parameter in g["params"]}
    for name, value in flat.items():
        parameter, key = name.rsplit("|", 1)
        tensor = parameters[parameter]
        # Step counters stay where the optimizer keeps them: on the device only when fused.
        fused = any(group.get("fused") for group in owner[tensor].param_groups)
        device = tensor.device if value.ndim or fused else torch.device("cpu")
        # Whole numbers were no tensors before (bitsandbytes counts its steps so).
        if value.shape == tensor.shape:
            value = share_like(value, tensor)
        owner[tensor].state[tensor][key] = value.to(device) if value.ndim or value.is_floating_point() else int(value)
