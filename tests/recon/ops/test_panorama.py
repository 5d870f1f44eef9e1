"""Panoramas and rigs of views, on smooth skies whose value is known in every direction."""

import math

import pytest
import torch

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.ops import panorama as pano


def rig(size: int = 128) -> Cameras:
    yaw = torch.deg2rad(torch.arange(6) * 60.0)
    around = torch.stack([yaw.sin(), torch.zeros(6), -yaw.cos()], -1)
    targets = torch.cat([around, torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])])
    return Cameras.look_at(torch.zeros(8, 3), targets, 100.0, size)


def smooth(directions: torch.Tensor) -> torch.Tensor:
    """Values of a band-limited sphere without symmetry, [3 ...]."""
    x, y, z = directions.unbind(-1)
    red = 0.5 + 0.3 * torch.sin(4 * x + 1) + 0.1 * y
    green = 0.5 + 0.2 * torch.cos(5 * y - 2 * z)
    blue = 0.5 + 0.2 * x * z + 0.2 * torch.sin(3 * z)
    return torch.stack([red, green, blue])


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


def test_panorama_to_rig_and_back_is_the_same():
    truth = smooth(pano.equirect_directions(128, 256))
    views = pano.to_views(truth, rig())
    back, weight = pano.from_views(views, rig(), 128)
    assert (weight > 0).all()
    assert psnr(back, truth) > 45


def test_views_and_panorama_look_in_the_directions_that_they_say():
    views = smooth(rig(64).rays()[1].reshape(8, 64, 64, 3)).movedim(0, 1)
    truth = smooth(pano.equirect_directions(64, 128))
    assert psnr(pano.from_views(views, rig(64), 64)[0], truth) > 45
    assert psnr(pano.to_views(truth, rig(64)), views) > 45


def test_the_middle_looks_ahead_the_right_half_to_the_right_and_the_top_up():
    directions = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    places = pano.equirect_places(directions, 64, 128)
    assert places[0].tolist() == pytest.approx([64, 32])
    assert places[1].tolist() == pytest.approx([96, 32])
    assert float(places[2, 1]) == pytest.approx(0)
    assert float(places[3, 0]) % 128 == pytest.approx(0)
    centers = pano.equirect_places(pano.equirect_directions(8, 16), 8, 16)
    x, y = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(8) + 0.5, indexing="xy")
    torch.testing.assert_close(centers, torch.stack([x, y], -1), atol=1e-4, rtol=0)


def test_solid_angles_are_exact():
    assert float(pano.equirect_solid_angles(32, 64).sum() * 64) == pytest.approx(4 * math.pi, rel=1e-6)
    faces = Cameras.look_at(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, -1.0]]), 90.0, 16)
    assert float(pano.pinhole_solid_angles(faces).sum()) == pytest.approx(4 * math.pi / 6, rel=1e-6)
    middle = pano.pinhole_solid_angles(faces)[0, 8, 8]
    assert float(middle) == pytest.approx((2 / 16) ** 2, rel=0.02)  # a square of that side at distance 1


def test_what_no_view_shows_stays_empty_and_unweighted_pixels_do_not_count():
    one = rig(32)[:1]
    back, weight = pano.from_views(torch.ones(1, 3, 32, 32), one, 32)
    behind = weight[0, :, :4]
    assert (behind == 0).all()
    assert (back[:, :, :4] == 0).all()
    image = torch.zeros(1, 1, 32, 32)
    image[..., :16] = 1.0
    counted = torch.zeros(1, 1, 32, 32)
    counted[..., :12] = 1.0
    back, weight = pano.from_views(image, one, 32, counted)
    shown = weight[0] > 0.5
    assert shown.any()
    assert float(back[0][shown].min()) > 0.9


def test_a_panorama_that_is_no_panorama_is_refused():
    with pytest.raises(InputError, match="twice as wide as high"):
        pano.to_views(torch.zeros(3, 30, 50), rig(8))
