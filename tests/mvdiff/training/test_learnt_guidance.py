"""Guidance learnt by the network itself."""

from pathlib import Path

import pytest
import torch
from training_runs import tiny

from mvdiff.cli.info import collect
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.training.config import load_config
from mvdiff.training.data import load_data
from mvdiff.training.losses import LossConfig, NoisyViews, flow_loss, training_loss
from mvdiff.training.objective import Objective, build_models, build_teacher
from mvdiff.training.trainer import Trainer
from recon.core.errors import InputError

ROOT = Path(__file__).parents[3]
CONFIG = LossConfig(drop_reference_probability=0.5, camera_weight=0.0)
#: Some of the fixture's noise levels lie above it.
LEVEL = 0.85


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    config = tiny(tmp_path_factory.mktemp("guidance"))
    data = load_data(config.data, 0, torch.device("cpu"))
    return data.batch(6, torch.Generator().manual_seed(0), torch.device("cpu"))


def network(batch, seed: int, learnt_guidance: float = 1.0, below: float = 1.0) -> MultiViewTransformer:
    torch.manual_seed(seed)
    size, shape = batch.targets.shape[-1], {"width": 64, "depth": 2, "heads": 2, "patch_size": 8}
    made = MultiViewTransformer(sample_size=size, reference_size=size, **shape)
    made.claim_guidance(learnt_guidance, below)
    for parameter in made.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return made


def estimator(batch) -> PhotoCameraEstimator:
    return PhotoCameraEstimator(sample_size=batch.targets.shape[-1], width=32, depth=1, heads=2)


def noisy_views(batch) -> NoisyViews:
    return NoisyViews.of(batch, torch.Generator().manual_seed(0), CONFIG)


def loss(student, teacher, batch):
    return training_loss(student, estimator(batch), batch, torch.Generator().manual_seed(0), CONFIG, teacher)[0]


class Guided(torch.nn.Module):
    """What guidance up to a noise level makes of a network's prediction, in one call."""

    def __init__(self, network: MultiViewTransformer, scale: float, below: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.config = type(network.config)(learnt_guidance=scale, guidance_below=below)

    def forward(self, *inputs, return_dict=False):
        *inputs, drop = inputs
        shown, hidden = (self.network(*inputs, d, return_dict=False)[0] for d in (drop, torch.ones_like(drop)))
        guided = inputs[1].amax(1) <= 1000 * self.config.guidance_below
        scale = torch.where(guided, self.config.learnt_guidance, 1.0)[:, None, None, None, None]
        return (hidden + scale * (shown - hidden),)


def test_what_is_learnt_is_guidance(batch):
    """To learn guidance and to predict the views costs as much as to predict the views, for one who knows it."""
    plain = network(batch, 0)
    torch.testing.assert_close(loss(Guided(plain, 3.0), plain, batch), loss(plain, None, batch))
    assert loss(network(batch, 0, 3.0), plain, batch) != loss(plain, None, batch)


def test_near_noise_the_views_as_they_are_can_be_learnt(batch):
    """Whatever the level, one who guides up to it makes as little of a mistake as one who is not guided at all."""
    plain = network(batch, 0)
    for below in (1.0, LEVEL, 0.0):
        torch.testing.assert_close(loss(Guided(plain, 3.0, below), plain, batch), loss(plain, None, batch))
    assert len({loss(network(batch, 0, 3.0, below), plain, batch).item() for below in (1.0, LEVEL, 0.0)}) == 3


def test_one_who_has_learnt_guidance_teaches_what_it_was_taught(batch):
    plain, noisy = network(batch, 0), noisy_views(batch)
    assert noisy.drop.any()
    assert not noisy.drop.all()
    student = network(batch, 1, 3.0)
    taught = noisy.guidance(student, plain, batch)
    for teacher in (Guided(plain, 3.0), Guided(plain, 2.0), Guided(plain, 2.0, LEVEL)):
        torch.testing.assert_close(noisy.guidance(student, teacher, batch), taught, atol=1e-5, rtol=1e-4)
    shown, hidden = (noisy.denoised(plain, batch, torch.full_like(noisy.drop, d)).detach() for d in (False, True))
    torch.testing.assert_close(taught[~noisy.drop], 2 * (shown - hidden)[~noisy.drop], atol=1e-5, rtol=1e-4)
    assert (taught[noisy.drop] == 0).all()
    partly, near = noisy.guidance(network(batch, 1, 3.0, LEVEL), plain, batch), noisy.sigma.amax(1) > LEVEL
    assert near.any()
    assert not near.all()
    assert (partly[near] == 0).all()
    assert torch.equal(partly[~near], taught[~near])


def test_the_student_comes_to_say_what_guidance_says(batch):
    teacher, student, noisy = network(batch, 0), network(batch, 0, 3.0), noisy_views(batch)
    with torch.no_grad():  # views that the teacher predicts perfectly leave guidance alone to be learnt
        batch = type(batch)(**vars(batch) | {"targets": noisy.denoised(teacher, batch, noisy.drop)})
        goal = batch.targets + noisy.guidance(student, teacher, batch)

    def missed():
        return flow_loss(noisy.denoised(student, batch, noisy.drop), goal, noisy.sigma, CONFIG, batch.known)

    optimizer, first = torch.optim.AdamW(student.parameters(), 1e-3), missed().item()
    for _ in range(40):
        optimizer.zero_grad()
        missed().backward()
        optimizer.step()
    assert missed().item() < 0.5 * first


def test_the_teacher_is_neither_trained_nor_saved_but_moves_along(batch):
    teacher = network(batch, 0)
    objective = Objective(network(batch, 1, 3.0), estimator(batch), CONFIG, teacher=teacher)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    own = {id(parameter) for parameter in objective.parameters()}
    assert not any(id(parameter) in own for parameter in teacher.parameters())
    twin = objective.twin()
    assert len(objective.state_dict()) == len(twin.state_dict())
    assert twin.transformer.config.learnt_guidance == 3
    objective.to(torch.float64)
    assert all(parameter.dtype == torch.float64 for parameter in teacher.parameters())


def test_a_run_goes_on_with_the_guidance_of_the_weights_it_begins_from(tmp_path):
    config = tiny(tmp_path)
    assert build_teacher(config, build_models(config)[0]) is None
    config.model.learnt_guidance = 2.0
    with pytest.raises(InputError, match=r"model\.init_from"):
        build_teacher(config, build_models(config)[0])
    config.model.guidance_below = 1.5
    with pytest.raises(InputError, match=r"model\.guidance_below"):
        build_models(config)
    config.model.guidance_below = 0.9
    config.loss.flow_weight = 0.0  # the camera estimator alone has nothing to learn of it
    assert build_teacher(config, build_models(config)[0]) is None
    for transformer in (build_models(config)[0], Objective(*build_models(config), config.loss).twin().transformer):
        assert (transformer.config.learnt_guidance, transformer.config.guidance_below) == (2, 0.9)


def test_the_embedded_model_can_learn_it(tmp_path):
    config = load_config(ROOT / "configs/train/embedded.yaml")
    config.model.learnt_guidance = 2.5
    transformer, camera_estimator = build_models(config)
    twin = Objective(transformer, camera_estimator, config.loss).twin()
    twin.transformer.save_config(tmp_path)
    assert MultiViewTransformer.load_config(tmp_path)["learnt_guidance"] == 2.5


def test_a_run_s_weights_say_what_guidance_they_have_learnt(config, tmp_path):
    config.lora.rank, config.max_steps, config.model.learnt_guidance = 0, 1, 2.0
    config.model.guidance_below = 0.95
    config.validation.objects = 2
    Trainer(config).train()
    first = MultiViewDiffusionPipeline.from_pretrained(config.output_dir)
    assert first.transformer.config.learnt_guidance == 2
    assert first.transformer.config.guidance_below == 0.95
    weights = collect(config.output_dir)["weights"]
    assert (weights["learnt_guidance"], weights["guidance_below"]) == (2, 0.95)
    config.model.init_from, config.model.learnt_guidance = config.output_dir, None
    config.model.guidance_below = None
    config.output_dir = str(tmp_path / "second")
    trainer = Trainer(config)
    assert trainer.objective.teacher.config.learnt_guidance == 2
    assert (config.model.learnt_guidance, config.model.guidance_below) == (2, 0.95)


def follows(config, folder: Path, **settings) -> Trainer:
    """Four steps whose teacher is renewed after each second one."""
    config.lora.rank, config.max_steps, config.output_dir = 0, 4, str(folder)
    config.model.learnt_guidance, config.model.guidance_refresh = 2.0, 2
    for name, value in settings.items():
        setattr(config, name, value)
    return Trainer(config)


def test_a_teacher_that_is_renewed_is_the_average_of_what_was_trained(config, tmp_path):
    trainer = follows(config, tmp_path / "a")
    first = trainer.objective.teacher.blocks[0].mlp.up.weight.clone()
    assert trainer.objective.teacher.config.learnt_guidance == 1
    trainer.train()
    teacher = trainer.objective.teacher
    assert teacher.config.learnt_guidance == 2
    assert not torch.equal(teacher.blocks[0].mlp.up.weight, first)
    averages = trainer.ema.part("transformer")
    assert all(torch.equal(value, averages[name]) for name, value in teacher.named_parameters())


def test_a_run_with_a_renewed_teacher_resumes_bit_for_bit(config, tmp_path):
    unbroken = follows(config, tmp_path / "a", checkpoint_every_steps=3)
    unbroken.train()
    resumed = follows(config, tmp_path / "b", resume=str(tmp_path / "a" / "checkpoint-0000003"))
    assert resumed.objective.teacher.config.learnt_guidance == 2
    resumed.train()
    ends = [trainer.objective.state_dict() for trainer in (unbroken, resumed)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_a_lora_has_one_teacher(config, tmp_path):
    config.model.learnt_guidance, config.model.guidance_refresh = 2.0, 2
    with pytest.raises(InputError, match="guidance_refresh"):
        Trainer(config)
