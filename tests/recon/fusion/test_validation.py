"""Views that nothing can be made of are named in one sentence; odd ones that can be used are."""

from dataclasses import replace

import pytest
import torch
import trimesh

from recon import Cameras, ReconstructionConfig, TexturedMesh, ViewSet, reconstruct
from recon.core.errors import InputError
from recon.fusion.refine import FitConfig
from recon.fusion.validation import validate_views
from recon.rendering import render_mesh
from recon.surface.texture import TextureConfig

_CONFIG = ReconstructionConfig(resolution=40, fit=FitConfig(steps=2), texture=TextureConfig(size=64))


@pytest.fixture(scope="module")
def views() -> ViewSet:
    made = trimesh.creation.box((0.5, 0.3, 0.4)).subdivide()
    return render_mesh(
        TexturedMesh.from_arrays(made.vertices, made.faces),
        Cameras.orbit([0.0, 90.0, 180.0, 270.0], [20.0, -20.0, 30.0, -20.0], size=32),
    )


def with_camera(views: ViewSet, view: int, change) -> ViewSet:
    c2w = views.cameras.c2w.clone()
    c2w[0, view] = change(c2w[0, view])
    return replace(views, cameras=replace(views.cameras, c2w=c2w))


def test_good_views_pass_unchanged(views):
    assert validate_views(views, 0.55) is views


def test_one_view_is_too_few(views):
    with pytest.raises(InputError, match="at least two views"):
        reconstruct(views.select_views([0]), _CONFIG)


@pytest.mark.parametrize(
    ("channel", "words"), [("rgb", "colours"), ("alpha", "alpha"), ("normal", "normals"), ("depth", "depth")]
)
def test_numbers_that_are_none_are_named(views, channel, words):
    broken = getattr(views, channel).clone()
    broken[0, 2, 0, 5, 5] = float("nan")
    with pytest.raises(InputError, match=f"View 2 has values in its {words} that are not finite"):
        validate_views(replace(views, **{channel: broken}), 0.55)


def test_cameras_that_are_none_are_named(views):
    mirrored, scaled = torch.diag(torch.tensor([-1.0, 1, 1, 1])), torch.diag(torch.tensor([2.0, 2, 2, 1]))
    with pytest.raises(InputError, match="View 1 has a left-handed"):
        validate_views(with_camera(views, 1, lambda c: c @ mirrored), 0.55)
    with pytest.raises(InputError, match="View 3 has a camera matrix that is no rotation"):
        validate_views(with_camera(views, 3, lambda c: c @ scaled), 0.55)
    with pytest.raises(InputError, match="View 0 has values in its camera matrix that are not finite"):
        validate_views(with_camera(views, 0, lambda c: c * float("nan")), 0.55)
    intrinsics = views.cameras.intrinsics.clone()
    intrinsics[0, 1, 0, 0] = 0
    with pytest.raises(InputError, match="View 1 has a focal length"):
        validate_views(replace(views, cameras=replace(views.cameras, intrinsics=intrinsics)), 0.55)


def test_the_hypothesis_is_named_too(views):
    broken = ViewSet.cat([views, with_camera(views, 1, lambda c: c * float("inf"))])
    with pytest.raises(InputError, match="View 1 of hypothesis 1"):
        validate_views(broken, 0.55)


def test_views_that_look_elsewhere_have_no_overlap(views):
    def away(c2w):
        turned = c2w.clone()
        turned[:3, :3] = c2w[:3, :3] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
        return turned

    elsewhere = with_camera(with_camera(with_camera(views, 1, away), 2, away), 3, away)
    with pytest.raises(InputError, match="no overlap"):
        reconstruct(elsewhere, _CONFIG)


def test_a_camera_within_the_object_is_named(views):
    def within(c2w):
        moved = c2w.clone()
        moved[:3, 3] *= 0.02
        return moved

    with pytest.raises(InputError, match="camera of view 2 stands inside"):
        reconstruct(with_camera(views, 2, within), _CONFIG)


def test_pictures_without_a_background_need_alpha_or_depth(views):
    opaque = replace(views, alpha=torch.ones_like(views.alpha))
    assert torch.equal(validate_views(opaque, 0.55).alpha, (views.depth > 0).float())
    with pytest.raises(InputError, match="cuts the object out"):
        reconstruct(replace(opaque, depth=None), _CONFIG)


def test_a_view_that_shows_nothing_is_left_out_with_a_warning(views, caplog):
    alpha = views.alpha.clone()
    alpha[0, 1] = 0
    made = reconstruct(replace(views, alpha=alpha), _CONFIG)[0]
    assert "Views [1] of hypothesis 0 show nothing" in caplog.text
    size = made.mesh.bounds[1] - made.mesh.bounds[0]
    assert (size > torch.tensor([0.45, 0.25, 0.37])).all()


def test_oblong_pictures_of_long_lenses_off_center(views):
    made = trimesh.creation.box((0.5, 0.3, 0.4)).subdivide()
    cameras = Cameras.orbit([10.0, 130.0, 250.0], [20.0, -30.0, 20.0], distance=3.0, fov=20.0, size=(128, 96))
    lens = cameras.intrinsics.clone()
    lens[:, 0, 2] += 5
    lens[:, 0, 0] *= 1.1
    cameras = replace(cameras, intrinsics=lens)
    taken = render_mesh(TexturedMesh.from_arrays(made.vertices, made.faces), cameras)
    mesh = reconstruct(taken, _CONFIG)[0].mesh
    # The underside is seen by one camera alone.
    assert torch.allclose(mesh.bounds[1], torch.tensor([0.25, 0.15, 0.2]), atol=0.035)
    assert torch.allclose(mesh.bounds[0][[0, 2]], torch.tensor([-0.25, -0.2]), atol=0.035)


def test_mixed_sizes_are_named_and_can_be_brought_together(views):
    small = views.cameras.resized(16, 16)
    with pytest.raises(InputError, match=r"differ in size \[\(16, 16\), \(32, 32\)\]"):
        Cameras.cat([views.cameras, small], 1)
    with pytest.raises(InputError, match="pictures are 32 x 32, their cameras 16 x 16"):
        replace(views, cameras=small)
    both = Cameras.cat([views.cameras, small.resized(32, 32)], 1)
    assert both.shape == (1, 8)
    assert torch.allclose(both.intrinsics[0, 0], both.intrinsics[0, 4])
