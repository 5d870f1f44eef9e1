"""Fully sharded data parallel training (FSDP2): each process keeps its share of weights, averages and moments.

``fully_shard`` is called here and not by accelerate, which would run the whole network in 16 bits, cameras included,
and shards nothing on the CPU. Tensors that are not shared out pass through all functions as they are, so that the
trainer does the same whatever the launcher asked for.
"""

import os

import torch
from torch import Tensor, nn

from mvdiff.training.config import TrainConfig
from recon.core.errors import InputError


def asked_for() -> bool:
    """Whether ``accelerate launch`` says FSDP; refuses what of its settings would have no effect."""
    if not _flag("ACCELERATE_USE_FSDP"):
        return False
    if os.environ.get("FSDP_VERSION") != "2":
        raise InputError("FSDP is supported in its version 2: launch with configs/accelerate/fsdp.yaml.")
    if _flag("FSDP_OFFLOAD_PARAMS"):
        raise InputError("Weights are not moved to the CPU while training: set fsdp_offload_params to false.")
    if _flag("FSDP_ACTIVATION_CHECKPOINTING"):
        raise InputError("Pass --gradient_checkpointing instead of setting fsdp_activation_checkpointing.")
    return True


def check_shardable(config: TrainConfig) -> None:
    """Raise :class:`InputError` for settings that need whole tensors."""
    if config.mixed_precision == "fp16":
        raise InputError("With FSDP train in bf16, not in fp16: --mixed_precision bf16.")
    if config.optimizer.name == "adamw8bit":
        raise InputError("The 8-bit optimiser does not work on shares of weights: with FSDP use optimizer.name adamw.")


def shard(module: nn.Module, blocks: list[nn.Module], device: torch.device) -> None:
    """Share the parameters out among all processes, which gather those of a block of ``module`` when it is at work."""
    from torch.distributed import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    again = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() == "true"
    for block in blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=again)
    fully_shard(module, mesh=mesh)


def is_sharded(module: nn.Module) -> bool:
    from torch.distributed.fsdp import FSDPModule

    return isinstance(module, FSDPModule)


def is_shared_out(tensor: Tensor) -> bool:
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """The complete tensor; all processes must ask together."""
    return tensor.full_tensor() if is_shared_out(tensor) else tensor


def share(tensor: Tensor) -> Tensor:
    """Return this process' shard of the tensor, for changes in place."""
    return tensor.to_local() if is_shared_out(tensor) else tensor


def share_like(complete: Tensor, like: Tensor) -> Tensor:
    """``complete``, which every process has, shared out as ``like`` is."""
    if not is_shared_out(like):
        return complete
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(complete.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _flag(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"
