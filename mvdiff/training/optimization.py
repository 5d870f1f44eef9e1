"""Optimisers and the learning-rate schedule."""

import importlib.util
import math

import torch
from torch import nn

from mvdiff.training.config import OptimizerConfig
from mvdiff.training.muon import Muon
from recon.core.errors import InputError


class JointOptimizer(torch.optim.Optimizer):
    """Several optimizers over disjoint parameters, stepped as one."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers
        self.defaults: dict = {}

    @property
    def param_groups(self) -> list[dict]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @property
    def state(self) -> dict:
        return {p: s for optimizer in self.optimizers for p, s in optimizer.state.items()}

    def step(self, closure=None) -> None:
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)


def build_optimizer(module: nn.Module, config: OptimizerConfig) -> JointOptimizer:
    """AdamW without decay on vectors; with ``muon``, the matrices inside blocks go to Muon (of a LoRA, none do)."""
    matrices, hidden, vectors = [], [], []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2 or name.endswith("modulation"):
            vectors.append(parameter)
        elif config.name == "muon" and ".blocks." in f".{name}" and parameter.ndim == 2 and ".lora_" not in name:
            hidden.append(parameter)
        else:
            matrices.append(parameter)
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if config.name == "adamw8bit":
        return JointOptimizer([_adamw8bit(groups, config)])
    fused = next(module.parameters()).is_cuda
    adamw = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)
    if not hidden:
        return JointOptimizer([adamw])
    return JointOptimizer([adamw, Muon(hidden, config.learning_rate, config.weight_decay)])


def _adamw8bit(groups: list[dict], config: OptimizerConfig) -> torch.optim.Optimizer:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(
            "The 8-bit optimiser needs bitsandbytes: pip install 'mvdiff[bitsandbytes]', or use optimizer.name adamw."
        )
    import bitsandbytes

    return bitsandbytes.optim.AdamW8bit(groups, lr=config.learning_rate, betas=config.betas)


def learning_rate_factor(step: int, progress: float, config: OptimizerConfig) -> float:
    """Factor of the full learning rate at ``step`` and ``progress`` (0 to 1) of the run; warm-up counts in steps."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    left = max(0.0, 1 - progress)
    if config.scheduler == "constant":
        return 1.0
    if config.scheduler == "constant_with_warmup":
        return warm
    if config.scheduler == "linear":
        return warm * left
    if config.scheduler == "cosine":
        return warm * 0.5 * (1 - math.cos(math.pi * left))
    return warm * max(config.final_rate, min(1.0, left / max(config.decay_fraction, 1e-9)))
