"""Checkpoints: written beside and renamed, so that a run killed at any moment leaves the last one whole."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mvdiff.training.ema import ExponentialMovingAverage
from recon.errors import InputError

_PREFIX = "checkpoint-"


def save_checkpoint(
    folder: Path,
    step: int,
    module: nn.Module,
    ema: ExponentialMovingAverage,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    total_limit: int,
) -> Path:
    """Weights, averages and optimiser as safetensors, the rest as JSON; the oldest beyond the limit go."""
    from safetensors.torch import save_file

    final = folder / f"{_PREFIX}{step:07d}"
    temporary = folder / f".{final.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(_contiguous(module.state_dict()), temporary / "raw.safetensors")
    save_file(_contiguous(ema.state_dict()), temporary / "ema.safetensors")
    save_file(_contiguous(_flatten_optimizer(module, optimizer)), temporary / "optimizer.safetensors")
    (temporary / "state.json").write_text(json.dumps(state | {"step": step}, indent=1))
    if final.exists():  # moved aside first: at no moment is there no whole checkpoint
        aside = folder / f".{final.name}.old"
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
        temporary.rename(final)
        shutil.rmtree(aside)
    else:
        temporary.rename(final)
    for old in list_checkpoints(folder)[: -max(1, total_limit)]:
        shutil.rmtree(old)
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if (path / "state.json").exists())


def find_checkpoint(folder: Path, resume: str) -> Path:
    if resume != "latest":
        if not (Path(resume) / "state.json").exists():
            raise InputError(f"{resume} is not a checkpoint folder; pass one of {folder} or 'latest'.")
        return Path(resume)
    found = list_checkpoints(folder)
    if not found:
        raise InputError(f"There is no checkpoint in {folder} to resume from.")
    return found[-1]


def load_checkpoint(
    path: Path, module: nn.Module, ema: ExponentialMovingAverage, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = json.loads((path / "state.json").read_text())
        raw, average, moments = (load_file(path / f"{name}.safetensors") for name in ("raw", "ema", "optimizer"))
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"The checkpoint {path} is damaged or incomplete ({error}); resume from an earlier one."
        ) from error
    try:
        module.load_state_dict(raw)
        ema.load_state_dict(average)
        _restore_optimizer(module, optimizer, moments)
    except (RuntimeError, KeyError) as error:
        raise InputError(
            f"The checkpoint {path} is of another model or optimiser than the config says: {error}."
        ) from error
    return state


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _flatten_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{names[parameter]}|{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def _restore_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    parameters = dict(module.named_parameters())
    owner = {parameter: part for part in optimizer.optimizers for g in part.param_groups for parameter in g["params"]}
    for name, value in flat.items():
        parameter, key = name.rsplit("|", 1)
        tensor = parameters[parameter]
        # Step counters stay where the optimiser keeps them: on the device only when fused.
        fused = any(group.get("fused") for group in owner[tensor].param_groups)
        device = tensor.device if value.ndim or fused else torch.device("cpu")
        owner[tensor].state[tensor][key] = value.to(device)
