"""The sky dome, from views of a sky that is known in every direction."""

import torch

from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.ops.panorama import equirect_directions
from recon.rendering import render_mesh
from recon.scenes.sky import inpaint_sphere, sky_of


def sky_color(directions: torch.Tensor) -> torch.Tensor:
    """Blue above, pale below, redder towards +X: [... 3]."""
    x, y, z = directions.unbind(-1)
    return torch.stack([0.5 + 0.3 * x, 0.6 + 0.2 * y, 0.6 + 0.3 * y + 0.05 * z], -1)


def open_field(size: int = 64) -> ViewSet:
    """Eight views all around; below the horizon lies black ground."""
    yaw = torch.deg2rad(torch.arange(6) * 60.0)
    targets = torch.stack([yaw.sin(), torch.zeros(6), -yaw.cos()], -1)
    cameras = Cameras.look_at(torch.zeros(7, 3), torch.cat([targets, torch.tensor([[0.0, 1.0, 0.0]])]), 100.0, size)
    directions = cameras.rays()[1].reshape(7, size, size, 3)
    alpha = (directions[..., 1:2] < 0).float().movedim(-1, 1)
    rgb = sky_color(directions).movedim(-1, 1) * (1 - alpha)
    return ViewSet(rgb[None], alpha[None], cameras.reshape(1, -1))


def test_the_dome_shows_the_sky_where_it_was_seen_and_goes_on_where_not():
    sky = sky_of(open_field(), 64)
    truth = sky_color(equirect_directions(64, 128)).movedim(-1, 0)
    seen = sky.seen[0] > 0
    assert seen[:30].all()
    assert not seen[34:].any()
    assert (sky.panorama - truth)[:, seen].abs().max() < 0.02
    below = sky.panorama[:, 34:]
    assert below.min() > 0.1  # the ground's black is not sky
    across = (sky.panorama[..., 0] - sky.panorama[..., -1]).abs().max()
    assert across < 0.05  # no seam at the date line


def test_the_dome_is_seen_from_inside_and_upright():
    dome = sky_of(open_field(), 128).dome(10.0)
    views = open_field()
    rendered = render_mesh(dome, views.cameras[0], 1)
    assert (rendered.alpha == 1).all()
    sky = (views.alpha == 0).expand_as(views.rgb)
    assert (rendered.rgb - views.rgb)[sky].abs().quantile(0.98) < 0.03
    center = dome.triangles.mean(1)
    assert ((dome.face_normals() * center).sum(-1) < 0).all()


def test_a_room_without_window_has_no_sky():
    views = open_field(16)
    assert sky_of(ViewSet(views.rgb, torch.ones_like(views.alpha), views.cameras), 16) is None


def test_inpainting_keeps_what_is_known_and_a_constant_constant():
    generator = torch.Generator().manual_seed(0)
    known = (torch.rand(1, 31, 62, generator=generator) < 0.1).float()
    image = torch.rand(2, 31, 62, generator=generator)
    filled = inpaint_sphere(image, known)
    torch.testing.assert_close(filled * known, image * known)
    constant = inpaint_sphere(torch.full_like(image, 0.3) * known, known)
    torch.testing.assert_close(constant, torch.full_like(image, 0.3))
