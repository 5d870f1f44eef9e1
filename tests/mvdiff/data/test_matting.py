"""Photos with a known matte: where things stand, what a shadow is, and that the network can learn it."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from mvdiff.data.matting.compose import compose
from mvdiff.data.matting.layers import PhotoLayers, photo_layers
from mvdiff.training.matting import MattingConfig, load_photographs, matte_loss
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.images.matte_network import MatteNetwork


@pytest.fixture(scope="module")
def layers() -> PhotoLayers:
    """A box that hovers above the ground on one thin leg, so that its shadow lies apart from it."""
    box = trimesh.creation.box((0.5, 0.1, 0.5), transform=trimesh.transformations.translation_matrix((0, 0.3, 0)))
    leg = trimesh.creation.box((0.02, 0.55, 0.02), transform=trimesh.transformations.translation_matrix((0, 0, 0)))
    both = trimesh.util.concatenate([box, leg])
    mesh = TexturedMesh(torch.tensor(both.vertices).float(), torch.tensor(both.faces).long()).normalized()
    return photo_layers(mesh, seed=3, count=6, size=64)


def test_the_shadow_lies_on_the_ground_and_beside_the_object(layers: PhotoLayers) -> None:
    shadow, above = layers.shadow > 0, layers.ground[:, :1].isnan()
    assert shadow.any()
    assert not (shadow & above).any()
    beside = shadow & (layers.object[:, 3:] == 0)
    assert beside.sum() > 0.02 * shadow.sum()


def test_pixels_of_the_ground_are_where_their_rays_meet_it(layers: PhotoLayers) -> None:
    """Ground coordinates of a plane are a homography of the pixels: collinear pixels stay collinear."""
    for k in range(len(layers.ground)):
        rows = layers.ground[k][:, -1]  # the lowest row of pixels
        if rows.isnan().any():
            continue
        ends = rows[:, -1] - rows[:, 0]
        across = (rows - rows[:, :1])[0] * ends[1] - (rows - rows[:, :1])[1] * ends[0]
        assert across.abs().max() < 1e-3 * ends.norm() ** 2


def test_the_composition_keeps_the_matte_and_the_pixels_of_the_object(layers: PhotoLayers, monkeypatch) -> None:
    from mvdiff.data.matting import compose as module

    monkeypatch.setattr(module, "augment_references", lambda rgba, generator, config: rgba)
    photo, alpha = compose(layers, None, torch.Generator().manual_seed(0))
    assert photo.shape == (6, 3, 64, 64)
    assert alpha.shape == (6, 1, 64, 64)
    assert (photo >= 0).all()
    assert (photo <= 1).all()
    true = layers.object[:, 3:].float() / 255
    for k in range(6):
        kept = torch.equal(alpha[k], true[k])
        assert kept or torch.equal(alpha[k], true[k].flip(-1))
        own = layers.object[k, :3].float() / 255
        inside = (alpha[k] == 1).expand(3, -1, -1)
        torch.testing.assert_close(photo[k][inside], (own if kept else own.flip(-1))[inside])


def test_compositions_depend_on_their_generator_alone(layers: PhotoLayers) -> None:
    one, other, third = (compose(layers, None, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


def test_the_network_learns_from_composed_photos(layers: PhotoLayers) -> None:
    torch.manual_seed(0)
    network = MatteNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for step in range(30):
        loss = matte_loss(network, layers, None, 6, torch.Generator().manual_seed(step % 3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_light_is_drawn_for_each_photo(layers: PhotoLayers) -> None:
    solid = layers.object[:, 3:] == 255
    means = [layers.object[k, :3][solid[k].expand(3, -1, -1)].float().mean() for k in range(6)]
    assert np.std(means) > 1


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.safetensors"):
        MattingConfig(output=tmp_path / "x.pt").check()
    with pytest.raises(InputError, match="positive"):
        MattingConfig(seconds=0).check()
    with pytest.raises(InputError, match=r"no \.png"):
        load_photographs(tmp_path)
