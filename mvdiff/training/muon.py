"""Muon (Jordan 2024): steps along the orthogonalised momentum of a matrix, of all matrices of one shape together."""

import math
from collections import defaultdict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.training.sharding import share, share_like, whole

#: Of the quintic that brings all singular values near 1, and how often it is applied (Jordan's).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """As ``torch.optim.Muon`` with Nesterov momentum and the size of AdamW's steps (``match_rms_adamw``).

    The blocks of a network repeat the same few shapes: orthogonalised one by one, their matrices would be two thousand
    small kernels a step. Of matrices that are shared out among processes the momentum stays in shares; each direction
    is gathered, and every process orthogonalises it.
    """

    def __init__(
        self, matrices: list[nn.Parameter], lr: float, weight_decay: float = 0.1, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for shape, matrices in alike.items():
                directions = [whole(self._direction(matrix, group["momentum"])) for matrix in matrices]
                steps = orthogonalize(torch.stack([direction.bfloat16() for direction in directions]))
                rate = group["lr"] * 0.2 * math.sqrt(max(shape))
                for matrix, step in zip(matrices, steps, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    share(matrix).add_(share(share_like(step, matrix)), alpha=-rate)

    def _direction(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's: where the gradient and the momentum after it point."""
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        buffer = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(buffer, momentum)


def orthogonalize(matrices: Float[Tensor, "b m n"]) -> Float[Tensor, "b m n"]:
    """Each with about the same singular vectors and singular values between .5 and 1.5 (Newton-Schulz)."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    # Singular values of at most 1.
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
