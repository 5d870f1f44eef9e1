"""The large reconstruction model against InstantMesh's code (commit 08822c5), by the same seeded weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from golden import Golden
from seeded_weights import seeded_state
from torch import Tensor
from upstream import commit_of
from upstream_lrm import TINY, TINY_ENCODER, upstream_lrm

from mvdiff.models.lrm.cameras import camera_vectors
from mvdiff.models.lrm.model import IGNORED, LargeReconstructionModel, LRMConfig, published_name
from mvdiff.weights.published import load_published
from recon.core.cameras import Cameras

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def pictures(count: int = 2) -> Tensor:
    """Two views of 48 x 48 pixels of each object: another number of patches than the table of positions has."""
    return torch.rand(count, 2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def cameras(count: int = 2) -> Tensor:
    return torch.randn(count, 2, 16, generator=torch.Generator().manual_seed(2))


def points(count: int = 2) -> Tensor:
    """Points of the cube and some outside of it."""
    return torch.rand(count, 40, 3, generator=torch.Generator().manual_seed(3)) * 2.4 - 1.2


@pytest.fixture
def ours() -> LargeReconstructionModel:
    model = LargeReconstructionModel(LRMConfig(**TINY, **TINY_ENCODER)).eval()
    shapes = {published_name(name): tuple(value.shape) for name, value in model.state_dict().items()}
    load_published(model, seeded_state(shapes), published_name, "the seeded weights")
    return model


def outputs(model: LargeReconstructionModel) -> dict[str, Tensor]:
    with torch.no_grad():
        tokens = model.encoder(pictures().flatten(0, 1), cameras().flatten(0, 1))
        planes = model(pictures(), cameras())
        return {
            "tokens": tokens[:2],
            "planes": planes,
            "distances": model.decoder.distances(planes, points()),
            "colors": model.decoder.colors(planes, points()),
        }


def test_upstream_gives_the_golden_tensors_and_its_weights_fit(
    upstream_checkout: Callable[[str], Path], golden: Callable[[str], Golden], ours: LargeReconstructionModel
) -> None:
    folder = upstream_checkout("InstantMesh")
    theirs = upstream_lrm(folder)
    with torch.no_grad():
        tokens = theirs.encoder(pictures(), cameras())
        planes = theirs.transformer(tokens.unflatten(0, (2, 2)).flatten(1, 2))
        distance, _, _ = theirs.synthesizer.get_geometry_prediction(planes, points(), torch.zeros(1, 8).long())
        colors = theirs.synthesizer.get_texture_prediction(planes, points())
    found = {"tokens": tokens[:2], "planes": planes, "distances": distance[..., 0], "colors": colors}
    found["cameras"] = theirs.cameras()[0]
    golden("lrm").hold(found, commit_of(folder))
    load_published(ours, theirs.state, published_name, "upstream's weights", IGNORED)
    assert LRMConfig.of(theirs.state, head_width=16) == LRMConfig(**TINY, **TINY_ENCODER)
    for name, value in outputs(ours).items():
        torch.testing.assert_close(value, found[name], **CLOSE)
    with torch.device("meta"):
        own = LargeReconstructionModel(LRMConfig()).state_dict()
    there = {name: value.shape for name, value in theirs.full_size().items() if not name.startswith(IGNORED)}
    assert {published_name(name): value.shape for name, value in own.items()} == there


def test_ours_gives_the_golden_tensors(golden: Callable[[str], Golden], ours: LargeReconstructionModel) -> None:
    kept = golden("lrm").load()
    for name, value in outputs(ours).items():
        torch.testing.assert_close(value, kept[name], **CLOSE)


def test_the_cameras_of_the_published_rig_are_ours_at_half_the_distance(golden: Callable[[str], Golden]) -> None:
    """Published cameras stand 4 units away; this package's world is half as large."""
    azimuths, elevations = [30.0, 90.0, 150.0, 210.0, 270.0, 330.0], [20.0, -10.0] * 3
    rig = Cameras.orbit(azimuths, elevations, 2.0, fov=30.0, size=320)
    torch.testing.assert_close(camera_vectors(rig), golden("lrm").load()["cameras"], **CLOSE)


def test_an_object_does_not_depend_on_the_others_of_its_batch(ours: LargeReconstructionModel) -> None:
    with torch.no_grad():
        alone, together = ours(pictures(3)[2:], cameras(3)[2:]), ours(pictures(3), cameras(3))
    torch.testing.assert_close(alone[0], together[2], **CLOSE)


def test_the_published_sizes() -> None:
    """Files of 1.51 and 1.25 GB at four bytes a weight; the networks of FlexiCubes are a two-thousandth of them."""
    with torch.device("meta"):
        large = LargeReconstructionModel(LRMConfig())
        base = LargeReconstructionModel(LRMConfig(depth=12, channels=40))
    counts = [sum(p.numel() for p in model.parameters()) for model in (large, base)]
    assert counts == [378_501_076, 313_265_068]
    assert [round(4 * count / 1e9, 2) for count in counts] == [1.51, 1.25]
    published = {published_name(name): value for name, value in large.state_dict().items()}
    assert LRMConfig.of(published) == LRMConfig()
