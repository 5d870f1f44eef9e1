"""Optimisers, averages and the rate's schedule."""

import functools

import pytest
import torch
from torch import nn
from training_runs import tiny

from mvdiff.training.config import OptimizerConfig
from mvdiff.training.ema import ExponentialMovingAverage
from mvdiff.training.muon import Muon
from mvdiff.training.objective import Objective, build_models
from mvdiff.training.optimization import build_optimizer, learning_rate_factor
from mvdiff.training.trainer import _clear_nonfinite


def test_average_in_closed_form():
    """Weights 0, then 1 for ever: what is left of the 0 is the product of the decays."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = ExponentialMovingAverage(module, 0.5)
    nn.init.ones_(module.weight)
    left = 1.0
    for step in range(20):
        ema.update(module, step)
        left *= min(0.5, (1 + step) / (10 + step))
        torch.testing.assert_close(ema.averages["weight"], torch.tensor([[1 - left]]))


def test_overflowed_gradients_leave_adam_without_a_push():
    module = nn.Linear(3, 3)
    optimizer = build_optimizer(module, OptimizerConfig(name="adamw", weight_decay=0.0))
    before = [value.detach().clone() for value in module.parameters()]
    for bad in (float("nan"), float("inf")):
        for value in module.parameters():
            value.grad = torch.ones_like(value)
        module.weight.grad[0, 0] = bad
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        _clear_nonfinite(module)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_muon_takes_the_matrices_inside_blocks_and_adamw_the_rest(tmp_path):
    config = tiny(tmp_path)
    objective = Objective(*build_models(config), config.loss)
    adamw, muon = build_optimizer(objective, OptimizerConfig()).optimizers
    names = {value: name for name, value in objective.named_parameters()}
    hidden = {names[value] for group in muon.param_groups for value in group["params"]}
    assert hidden == {n for n, v in objective.named_parameters() if ".blocks." in n and v.ndim == 2} - {
        n for n in names.values() if n.endswith("modulation")
    }
    assert [group["weight_decay"] for group in adamw.param_groups] == [OptimizerConfig().weight_decay, 0.0]
    count = sum(len(group["params"]) for group in adamw.param_groups) + len(hidden)
    assert count == len(names)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
def test_matrices_stepped_together_go_where_torch_s_muon_takes_each():
    shapes = [(48, 16), (16, 16), (16, 40), (48, 16)]
    before = [torch.randn(shape) for shape in shapes]
    gradients = [[torch.randn(shape) for shape in shapes] for _ in range(3)]

    def matrices_after(make) -> list[torch.Tensor]:
        matrices = [nn.Parameter(value.clone()) for value in before]
        optimizer = make(matrices, lr=0.01, weight_decay=0.1)
        for step in gradients:
            for matrix, gradient in zip(matrices, step, strict=True):
                matrix.grad = gradient.clone()
            optimizer.step()
        return [matrix.detach() for matrix in matrices]

    one_by_one = matrices_after(functools.partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw"))
    for matrix, expected, first in zip(matrices_after(Muon), one_by_one, before, strict=True):
        way = (expected - first).norm()
        assert way > 0.03
        assert (matrix - expected).norm() < 0.01 * way  # products in bfloat16 may round in another order


@pytest.mark.parametrize(("name", "share"), [("adamw", 1e-4), ("muon", 0.1)])
def test_rounded_gradients_move_the_weights_by_a_share_of_a_step(name, share):
    """As sums in another order are rounded: Muon, which orthogonalises in bfloat16, magnifies it a thousand times."""
    before = 0.02 * torch.randn(192, 64)
    gradients = 1e-3 * torch.randn(4, 192, 64)
    rounding = 1 + 2.0**-23 * torch.randint(-1, 2, gradients.shape)

    def weights_after(gradients: torch.Tensor) -> torch.Tensor:
        module = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(64, 192, bias=False)])})
        (weight,) = module.parameters()
        weight.data.copy_(before)
        optimizer = build_optimizer(module, OptimizerConfig(name=name, weight_decay=0.0))
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        return weight.detach()

    after = weights_after(gradients)
    assert torch.equal(weights_after(gradients), after)
    step = (weights_after(gradients[:1]) - before).abs().max()
    assert (weights_after(gradients * rounding) - after).abs().max() < share * step


def test_rate_warms_up_stays_and_falls():
    config = OptimizerConfig(warmup_steps=10, decay_fraction=0.4, final_rate=0.02)
    assert learning_rate_factor(0, 0.0, config) == pytest.approx(0.1)
    assert learning_rate_factor(9, 0.3, config) == 1.0
    assert learning_rate_factor(100, 0.8, config) == pytest.approx(0.5)
    assert learning_rate_factor(100, 1.0, config) == pytest.approx(0.02)
