"""Guidance learnt by the network itself."""

from dataclasses import replace

import pytest
import torch
from training_runs import tiny

from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.training.data import load_data
from mvdiff.training.losses import LossConfig, NoisyViews, training_loss
from mvdiff.training.objective import Objective, build_teacher
from recon.errors import InputError

CONFIG = LossConfig(distilled_guidance=3.0, drop_reference_probability=0.5, camera_weight=0.0)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    config = tiny(tmp_path_factory.mktemp("distillation"))
    data = load_data(config.data, 0, torch.device("cpu"))
    return data.batch(6, torch.Generator().manual_seed(0), torch.device("cpu"))


def network(batch, seed: int) -> MultiViewTransformer:
    torch.manual_seed(seed)
    size = batch.targets.shape[-1]
    made = MultiViewTransformer(
        sample_size=size, reference_size=size, width=64, depth=2, heads=2, bottleneck=16, patch_size=8
    )
    for parameter in made.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return made


def estimator(batch) -> PhotoCameraEstimator:
    return PhotoCameraEstimator(sample_size=batch.targets.shape[-1], width=32, depth=1, heads=2)


def loss(student, teacher, batch, config):
    return training_loss(student, estimator(batch), batch, torch.Generator().manual_seed(0), config, teacher)[0]


def test_a_student_that_is_its_teacher_has_nothing_to_learn_but_guidance(batch):
    teacher = network(batch, 0)
    assert loss(teacher, teacher, batch, replace(CONFIG, distilled_guidance=1.0)).item() < 1e-12
    assert loss(teacher, teacher, batch, CONFIG).item() > 1e-6
    assert loss(teacher, teacher, batch, replace(CONFIG, drop_reference_probability=1.0)).item() < 1e-12


def test_guidance_goes_beyond_what_the_photo_adds(batch):
    teacher, noisy = network(batch, 0), NoisyViews.of(batch, torch.Generator().manual_seed(0), CONFIG)
    shown, hidden = (
        noisy.denoised(teacher, batch, torch.full_like(noisy.drop, drop)).detach() for drop in (False, True)
    )
    guided = noisy.guided(teacher, batch, 3.0)
    assert noisy.drop.any()
    assert not noisy.drop.all()
    torch.testing.assert_close(guided[~noisy.drop], (3 * shown - 2 * hidden)[~noisy.drop], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(guided[noisy.drop], hidden[noisy.drop])


def test_the_student_comes_to_say_what_guidance_says(batch):
    teacher, student = network(batch, 0), network(batch, 0)
    optimizer = torch.optim.AdamW(student.parameters(), 1e-3)
    first = loss(student, teacher, batch, CONFIG).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(student, teacher, batch, CONFIG).backward()
        optimizer.step()
    assert loss(student, teacher, batch, CONFIG).item() < 0.5 * first


def test_the_teacher_is_neither_trained_nor_saved_but_moves_along(batch):
    teacher = network(batch, 0)
    objective = Objective(network(batch, 1), estimator(batch), CONFIG, teacher=teacher)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    own = {id(parameter) for parameter in objective.parameters()}
    assert not any(id(parameter) in own for parameter in teacher.parameters())
    assert len(objective.state_dict()) == len(objective.twin().state_dict())
    objective.to(torch.float64)
    assert all(parameter.dtype == torch.float64 for parameter in teacher.parameters())


def test_there_is_no_guidance_to_learn_without_weights(tmp_path):
    config = tiny(tmp_path)
    assert build_teacher(config) is None
    config.loss = CONFIG
    with pytest.raises(InputError, match=r"model\.init_from"):
        build_teacher(config)
