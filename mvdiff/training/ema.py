"""Exponential moving average of the weights."""

import torch
from torch import Tensor, nn

from mvdiff.training.sharding import share, share_like, whole


class ExponentialMovingAverage:
    """Keeps fp32 averages of the parameters that train; the decay warms up so that early weights are forgotten."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.averages = {
            name: value.detach().clone().float() for name, value in module.named_parameters() if value.requires_grad
        }

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [share(value.detach()).float() for value in module.parameters() if value.requires_grad]
        torch._foreach_lerp_([share(average) for average in self.averages.values()], current, 1 - decay)

    def part(self, name: str) -> dict[str, Tensor]:
        """The averages of one part of the module, by their names within it."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.averages.items() if key.startswith(prefix)}

    def copy_to(self, module: nn.Module) -> None:
        """Into a module of whole parameters."""
        with torch.no_grad():
            parameters = dict(module.named_parameters())
            for name, average in self.averages.items():
                parameters[name].copy_(whole(average))

    def state_dict(self) -> dict[str, Tensor]:
        return self.averages

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, average in self.averages.items():
            average.copy_(share_like(state[name], average))
