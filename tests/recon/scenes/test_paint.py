"""Texture, provenance, gains, agreement and splats of scenes."""

import pytest
import torch
from plane_views import facing

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.splats import rotation_matrix
from recon.core.views import ViewSet
from recon.rendering import render_mesh
from recon.scenes import scene_mesh
from recon.scenes.gains import color_gains
from recon.scenes.mesh import SceneMeshConfig
from recon.scenes.splats import SplatConfig, scene_splats
from recon.scenes.texture import SceneTextureConfig, paint_scene
from recon.scenes.view_agreement import view_agreement
from recon.scenes.visible import GUESSED, IMPLIED, PHOTO, Sight


@pytest.fixture(scope="module")
def surface(small_field) -> TexturedMesh:
    return scene_mesh(small_field, SceneMeshConfig(faces=20_000))


@pytest.fixture(scope="module")
def painted(small_room, surface) -> TexturedMesh:
    return paint_scene(surface, small_room.views)


def psnr(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b)[mask] ** 2).mean()))


def test_views_are_given_back(small_room, painted):
    views = small_room.views
    back = render_mesh(painted, views.cameras[0], 1)
    both = ((back.alpha > 0.99) & (views.alpha > 0.99) & ((back.depth / views.depth - 1).abs() < 0.02)).expand_as(
        views.rgb
    )
    assert both.float().mean() > 0.9
    assert psnr(back.rgb, views.rgb, both) > 33


def test_the_photos_own_pixels_are_kept_at_full_size(small_room, surface):
    photo = small_room.photo
    cameras = photo.cameras[0].resized(384, 384)
    x, y = torch.meshgrid(torch.arange(384), torch.arange(384), indexing="xy")
    fine = ((x // 8 + y // 8) % 2).float().expand(3, 384, 384).clone()  # finer than a pixel of the views
    back = render_mesh(paint_scene(surface, small_room.views, fine), cameras, 1)
    middle = (back.alpha[0, 0, 0] > 0) & ((x - 192).abs() < 120) & ((y - 192).abs() < 120)
    same = ((back.rgb[0, 0, 0] > 0.5) == (fine[0] > 0.5))[middle]
    assert same.float().mean() > 0.85


def test_provenance_says_what_the_photo_sees(small_room, painted):
    kind, points = painted.attributes["provenance"], painted.vertices * small_room.metres
    pixels, z = (value[0] for value in small_room.photo.cameras[0].project(painted.vertices[None]))
    inside = (z > 0.01) & (pixels > 2).all(-1) & (pixels < 94).all(-1)
    outside = (z < 0) | (pixels < -1).any(-1) | (pixels > 97).any(-1)
    assert (kind[outside] == GUESSED).all()
    assert (kind[inside] == PHOTO).float().mean() > 0.85
    assert (kind[inside] != GUESSED).all()
    back_wall_left = (points[:, 2] < -3.45) & inside & (points[:, 0].abs() < 0.5) & (points[:, 1].abs() < 0.5)
    assert (kind[back_wall_left] == PHOTO).all()
    assert (kind == IMPLIED).any()
    assert painted.attributes["agreement"].mean() > 0.85


def test_gains_of_darkened_views_are_found(small_room, surface):
    views, truth = small_room.views, torch.ones(9, 3)
    truth[2], truth[5] = torch.tensor([0.8, 1.0, 0.9]), 0.7
    tinted = views.rgb[0] * truth[:, :, None, None]
    gains = color_gains(tinted, Sight.of(surface, views), views.cameras[0], fixed=0)
    assert (gains[0] - 1).abs().max() < 1e-3
    assert (gains * truth - 1).abs().max() < 0.06


def test_agreement_falls_where_a_view_contradicts_the_others(small_room):
    views = small_room.views
    assert view_agreement(views).mean() > 0.95
    depth = views.depth.clone()
    depth[:, 1] *= 0.75  # nearer than where the others see through
    wrong = view_agreement(ViewSet(views.rgb, views.alpha, views.cameras, views.normal, depth))
    assert wrong[1].mean() < 0.5
    assert wrong[4].mean() > 0.9


def test_discs_lie_on_their_plane_at_the_size_of_their_pixels():
    depth = torch.full((48, 48), 1.5)
    views = facing(depth)
    splats = scene_splats(views, SplatConfig(cell=0.2))
    assert len(splats) == 48 * 48
    assert (splats.position[:, 2] + 1.5).abs().max() < 1e-5
    footprint = 1.5 / float(views.cameras.intrinsics[0, 0, 0, 0])
    along = rotation_matrix(splats.rotation)
    torch.testing.assert_close(along[:, :, 2], torch.tensor([0.0, 0.0, 1.0]).expand(len(splats), 3), atol=1e-4, rtol=0)
    assert splats.scale[:, 1] == pytest.approx(0.6 * footprint, rel=1e-4)
    assert (splats.scale[:, 2] < 0.2 * splats.scale[:, 1]).all()


def test_overlapping_views_give_one_layer_and_the_photo_goes_first(small_room):
    views = small_room.views
    twice = views.select_views([0, 0, 1])
    single, double = scene_splats(views.select_views([0, 1])), scene_splats(twice)
    assert len(double) < 1.25 * len(single)
    photo = scene_splats(small_room.photo)
    everything = scene_splats(views)
    assert torch.equal(everything.position[: len(photo)], photo.position)
    assert len(everything) < int((views.alpha > 0.5).sum())
    unsure = scene_splats(views, agreement=torch.zeros_like(views.alpha[0, :, 0]))
    assert unsure.opacity.max() < 0.5 * everything.opacity.max()


def test_nothing_to_paint_is_said(small_room):
    nothing = TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    with pytest.raises(InputError, match="nothing but sky"):
        paint_scene(nothing, small_room.views, config=SceneTextureConfig())
