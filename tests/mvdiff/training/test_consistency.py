"""The optional losses: nothing for the truth, something for what contradicts it, and gradients that mend it."""

import sys
import types
from dataclasses import replace

import pytest
import torch

from mvdiff.data.batch import BatchConfig, TrainingBatch, sample_batch
from mvdiff.data.render.jobs import Photographers, Shot, fill_store, procedural_sources
from mvdiff.data.render.record import RecordConfig
from mvdiff.training import consistency
from mvdiff.training.losses import LossConfig, flow_loss, training_loss
from recon.core.errors import InputError

CONFIG = RecordConfig(size=48, supersample=2, ring_views=6, references=2)
WEIGHTS = ("depth_normal_weight", "reprojection_weight")


@pytest.fixture(scope="module")
def batch() -> TrainingBatch:
    store, _ = fill_store(Photographers(CONFIG), [Shot(source, 0, False) for source in procedural_sources(range(3))])
    settings = BatchConfig(second_reference_probability=0.0, random_rig_probability=0.0)
    return sample_batch(store, 3, torch.Generator().manual_seed(0), settings)


@pytest.fixture
def everywhere(batch: TrainingBatch) -> torch.Tensor:
    return torch.ones(batch.targets.shape[:2])


@pytest.mark.parametrize("loss", [consistency.depth_normal_loss, consistency.reprojection_loss])
def test_the_truth_is_consistent_and_bent_depth_is_not(batch, everywhere, loss):
    truth = batch.targets
    right = float(loss(truth, truth, batch.target_cameras, everywhere))
    ramp = torch.linspace(-0.4, 0.4, 48)
    bent = truth.clone()
    bent[:, :, 7] += ramp
    wrong = float(loss(bent, truth, batch.target_cameras, everywhere))
    assert right < 0.06
    assert wrong > 3 * right


def test_normals_of_depth_are_the_true_normals(batch):
    truth = batch.targets
    depth = truth[:, :, 7] * 0.5 + batch.target_cameras.position.norm(dim=-1)[..., None, None]
    found = consistency.normals_from_depth(depth, batch.target_cameras)
    inside = -torch.nn.functional.max_pool2d(-(truth[:, :, 3] > 0.9).float(), 3, 1, 1) > 0
    cosine = (found * truth[:, :, 4:7]).sum(2)[inside]
    assert cosine.median() > 0.98


@pytest.mark.parametrize("loss", [consistency.depth_normal_loss, consistency.reprojection_loss])
def test_following_the_gradient_mends_the_depth(batch, everywhere, loss):
    torch.manual_seed(0)
    bent = batch.targets.clone()
    bent[:, :, 7] += 0.1 * torch.randn_like(bent[:, :, 7])
    bent.requires_grad_()
    first = loss(bent, batch.targets, batch.target_cameras, everywhere)
    first.backward()
    assert torch.isfinite(bent.grad).all()
    assert bent.grad[:, :, 7].abs().sum() > 0
    assert bent.grad[:, :, :4].abs().sum() == 0
    step = bent.detach() - 0.02 * bent.grad / bent.grad.abs().amax()
    assert loss(step, batch.targets, batch.target_cameras, everywhere) < first


def test_unknown_channels_count_nothing(batch, everywhere):
    known = torch.ones(3, 8, dtype=torch.bool)
    known[1, 4:] = False
    sigma, config = torch.full(batch.targets.shape[:2], 0.5), LossConfig()
    wrong = batch.targets.clone()
    wrong[1, :, 4:] += 1
    wrong.requires_grad_()
    loss = flow_loss(wrong, batch.targets, sigma, config, known)
    assert loss == 0
    loss.backward()
    assert wrong.grad.abs().sum() == 0
    assert flow_loss(wrong.detach(), batch.targets, sigma, config) > 0
    certain = consistency.certainty(sigma, known[:, 4:].all(1))
    assert certain[1].sum() == 0
    assert (certain[0] == 0.25).all()


class _Fixed(torch.nn.Module):
    """Predicts the same views whatever it is given."""

    def __init__(self, views: torch.Tensor) -> None:
        super().__init__()
        self.views = torch.nn.Parameter(views.clone())

    def forward(self, *_, return_dict: bool = True):
        return (self.views,)


class _Estimator(torch.nn.Module):
    """Remembers which patches it was shown."""

    config = types.SimpleNamespace(patch_size=8)

    def forward(self, photos, shown=None):
        self.shown = shown
        return types.SimpleNamespace(log_prob=lambda parameters: parameters.sum(-1) * 0)


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_switch_the_losses_on(batch, name):
    bent = batch.targets.clone()
    bent[:, :, 7] += torch.linspace(-0.4, 0.4, 48)
    networks = _Fixed(bent), _Estimator()
    _, off = training_loss(*networks, batch, torch.Generator().manual_seed(0), LossConfig())
    loss, on = training_loss(*networks, batch, torch.Generator().manual_seed(0), LossConfig(**{name: 2.0}))
    own = name.removesuffix("_weight")
    assert own not in off
    torch.testing.assert_close(loss.detach(), off["loss"] + 2 * on[own])
    loss.backward()
    assert networks[0].views.grad.abs().sum() > 0


def test_the_estimator_sees_a_share_of_the_patches_while_it_trains(batch):
    networks, config = (_Fixed(batch.targets), _Estimator()), LossConfig(camera_patches=0.25)
    training_loss(*networks, batch, torch.Generator().manual_seed(0), config)
    shown = networks[1].shown.sort(1).values
    assert shown.shape == (batch.camera_photos[:, :, 0, 0, 0].numel(), 9)  # of 6 x 6
    assert (shown.diff(dim=1) > 0).all()  # each once
    assert len(shown.unique(dim=0)) == len(shown)
    networks[1].eval()
    training_loss(*networks, batch, torch.Generator().manual_seed(0), config)
    assert networks[1].shown is None


def test_objects_without_geometry_leave_the_geometric_losses_empty(batch):
    photos = replace(batch, known=torch.tensor([True] * 4 + [False] * 4).expand(3, 8))
    config = LossConfig(depth_normal_weight=1.0, reprojection_weight=1.0)
    _, parts = training_loss(
        _Fixed(batch.targets + 0.5), _Estimator(), photos, torch.Generator().manual_seed(0), config
    )
    assert parts["depth_normal"] == parts["reprojection"] == 0


def test_the_perceptual_loss_asks_for_its_extra_and_uses_it(batch, everywhere, monkeypatch):
    consistency._lpips.cache_clear()
    monkeypatch.setattr(consistency.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="lpips"):
        consistency.perceptual_loss(batch.targets, batch.targets, everywhere)
    monkeypatch.undo()

    class Stand(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()

        def forward(self, one, other):
            assert one.shape[1] == 3
            assert one.abs().max() <= 1
            return (one - other).square().mean((1, 2, 3), keepdim=True)

    stand = types.ModuleType("lpips")
    stand.LPIPS = Stand
    stand.__spec__ = types.SimpleNamespace(name="lpips")
    monkeypatch.setitem(sys.modules, "lpips", stand)
    assert consistency.perceptual_loss(batch.targets, batch.targets, everywhere) == 0
    assert consistency.perceptual_loss(batch.targets * 0.5, batch.targets, everywhere) > 0
    consistency._lpips.cache_clear()
