"""Procedural objects: valid, the same for the same seed, and honest about what their photo hides."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch

from mvdiff.data.procedural import AMBIGUOUS, FAMILIES, Distribution, make, remake
from recon.core.cameras import Cameras
from recon.rendering import render_mesh


def digest(family: str, seed: int) -> int:
    mesh = make(seed, family).mesh
    return zlib.crc32(mesh.vertices.numpy().tobytes() + mesh.faces.numpy().tobytes() + mesh.colors.numpy().tobytes())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_valid_and_varied(family):
    for seed in range(6):
        mesh = make(seed, family).mesh
        assert torch.isfinite(mesh.vertices).all()
        assert 100 < len(mesh) <= 7000
        assert mesh.faces.min() >= 0
        assert mesh.faces.max() < len(mesh.vertices)
        assert mesh.vertices.norm(dim=-1).amax() == pytest.approx(0.5, abs=1e-6)
        assert mesh.colors.min() >= 0
        assert mesh.colors.max() <= 1
        a, b, c = mesh.triangles.unbind(1)
        assert (torch.linalg.cross(b - a, c - a).norm(dim=-1) > 1e-12).float().mean() > 0.9
    assert len({digest(family, seed) for seed in range(6)}) == 6


def test_same_seed_same_bytes_in_another_process():
    code = "import sys; sys.path[:0] = sys.argv[1:]; from test_procedural import digest, FAMILIES\n"
    code += "print(*[digest(f, 3) for f in FAMILIES])"
    folder = __file__.rsplit("/", 1)[0]
    out = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout
    assert [int(x) for x in out.split()] == [digest(family, 3) for family in FAMILIES]


VALUES = {
    "hidden_handle_mug": (None, 180.0, 185.0, 175.0),
    "hidden_back_color": ("red", "blue", "white"),
    "hidden_rear_legs": (1, 2, 3, 4),
    "hidden_back_bulge": (0.05, 0.3, 0.5),
}


@pytest.mark.parametrize("family", AMBIGUOUS)
def test_the_photo_does_not_depend_on_the_hidden_value(family):
    back_differs = False
    for seed in range(5):
        thing = make(seed, family)
        front, behind = (
            Cameras.orbit([0.0, 0.0, 0.0], [0.0, 15.0, 30.0], size=64),
            Cameras.orbit([180.0], [10.0], size=64),
        )
        remade = [remake(thing, value) for value in VALUES[family]]
        photos = [render_mesh(other.mesh, front, supersample=1) for other in remade]
        for photo in photos[1:]:
            for name in ("rgb", "alpha", "depth"):
                torch.testing.assert_close(getattr(photo, name), getattr(photos[0], name), atol=2e-5, rtol=0)
        backs = [render_mesh(other.mesh, behind, supersample=1).rgb for other in remade]
        back_differs |= bool((backs[0] - backs[-1]).abs().max() > 0.05)
    assert back_differs


def test_remake_with_the_drawn_value_gives_the_object_back():
    for family in AMBIGUOUS:
        thing = make(1, family)
        assert torch.equal(remake(thing, thing.hidden.value).mesh.vertices, thing.mesh.vertices)


def test_handle_posterior_follows_from_prior_and_hidden_arc():
    unseen = next(thing for seed in range(99) if not (thing := make(seed, "hidden_handle_mug")).hidden.seen(15))
    law = unseen.hidden.condition(15)
    low, high = law.interval
    assert 20 < high - low < 180
    assert np.exp(law.log_prob(None)) == pytest.approx(0.4 / (0.4 + 0.6 * (high - low) / 360))
    assert law.log_prob(low - 1) == -np.inf
    camera = Cameras.orbit([0.0], [15.0], size=128)
    alone = render_mesh(remake(unseen, None).mesh, camera, supersample=1)
    for angle, same in ((low + 0.5, True), (high - 0.5, True), (low - 25, False), (high + 25, False)):
        photo = render_mesh(remake(unseen, angle % 360).mesh, camera, supersample=1)
        assert ((photo.rgb - alone.rgb).abs().max() < 1e-3) == same


def test_values_are_drawn_from_the_prior():
    values = [make(seed, "hidden_handle_mug").hidden.value for seed in range(200)]
    angles = np.array([value for value in values if value is not None])
    assert len(angles) / 200 == pytest.approx(0.6, abs=0.12)
    assert np.abs(np.sort(angles) / 360 - np.linspace(0, 1, len(angles))).max() < 0.16


def test_distribution_samples_what_it_states():
    law, rng = Distribution(((None, 0.25),), (10.0, 30.0)), np.random.default_rng(0)
    draws = [law.sample(rng) for _ in range(2000)]
    assert draws.count(None) / 2000 == pytest.approx(0.25, abs=0.04)
    assert np.mean([d for d in draws if d is not None]) == pytest.approx(20, abs=0.8)
    assert law.log_prob(20.0) == pytest.approx(np.log(0.75 / 20))
    assert law.cdf(15.0) == 0.25


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="chair"):
        make(0, "no such family")
    with pytest.raises(ValueError, match="no hidden"):
        remake(make(0, "chair"), 1)
