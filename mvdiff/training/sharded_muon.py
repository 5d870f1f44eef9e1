"""Muon (Jordan 2024) for matrices that are shared out among processes."""

import torch
from torch import Tensor

from mvdiff.training.sharding import share_like, whole


class ShardedMuon(torch.optim.Muon):
    """As torch's own, whose products of shares would talk at every one of them and round otherwise than whole matrices.

    The momentum stays in shares; of each matrix one direction is gathered, and every process orthogonalises it.
    """

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter.grad))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                direction = parameter.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(share_like(_step_along(whole(direction), group), parameter))


def _step_along(direction: Tensor, group: dict) -> Tensor:
    """What torch's Muon without momentum makes of a matrix of zeros."""
    made = torch.zeros_like(direction)
    made.grad = direction
    settings = {name: group[name] for name in ("lr", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")}
    torch.optim.Muon([made], momentum=0.0, weight_decay=0.0, **settings).step()
    return made
