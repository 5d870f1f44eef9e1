"""Sheets of true renderings go the way of Zero123++'s: cut out, un-grayed, normals in the world, reconstructed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mvdiff.backbones.zero123 import sheet
from mvdiff.data.procedural import make
from recon import Cameras, ReconstructionConfig, ViewSet, reconstruct
from recon.core.conventions import camera_to_opencv
from recon.rendering import render_mesh

SIZE = 96
CAMERAS = sheet.rig(SIZE).cameras(torch.tensor([15.0]))
MESH = make(3).mesh.normalized()


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return render_mesh(MESH, CAMERAS[0])


def coded(views: ViewSet) -> torch.Tensor:
    """Normals as the ControlNet paints them: OpenGL view space, gray where there is no object."""
    rotation = camera_to_opencv(views.cameras.c2w, "opengl")[..., :3, :3]
    return (torch.einsum("nvji,nvjhw->nvihw", rotation, views.normal) * views.alpha + 1) / 2


def test_the_lens_touches_the_bounding_sphere() -> None:
    """A sphere of radius 1/2 fills the cone of 30 degrees at 1.866 (upstream's issue 73)."""
    assert sheet.rig().distance == pytest.approx(0.5 / math.tan(math.radians(15)), rel=1e-9)
    assert sheet.rig().distance == pytest.approx(1.866, abs=1e-3)
    expected = Cameras.orbit([0, 30, 90, 150, 210, 270, 330], [15, 20, -10, 20, -10, 20, -10], 1.8660254, 30.0, SIZE)
    assert float((CAMERAS[0].c2w - expected.c2w).abs().max()) < 1e-6
    assert float((CAMERAS[0].intrinsics - expected.intrinsics).abs().max()) < 1e-4


def test_splitting_is_row_by_row_and_joining_its_inverse() -> None:
    sheets = torch.arange(2 * 3 * 6 * 4, dtype=torch.float32).reshape(2, 3, 6, 4)
    tiles = sheet.split(sheets)
    assert torch.equal(tiles[:, 1], sheets[..., :2, 2:])
    assert torch.equal(tiles[:, 4], sheets[..., 4:, :2])
    assert torch.equal(sheet.join(tiles), sheets)


@pytest.mark.parametrize(("background", "level"), [("gray", 127 / 255), ("white", 1.0)])
def test_a_cut_out_sheet_is_the_rendering(views: ViewSet, background: sheet.Background, level: float) -> None:
    blended = views.composited(level)
    found = sheet.cut_out(blended, coded(views), views.cameras, background)
    solid = views.alpha > 0.5
    assert float((found.alpha - views.alpha).abs().mean()) < 0.01
    assert float((found.rgb - views.rgb).abs()[solid.expand_as(views.rgb)].mean()) < 0.01
    cosine = (found.normal * views.normal).sum(2, keepdim=True)[views.alpha > 0.99]
    assert float(cosine.mean()) > 0.98
    assert float(found.normal.norm(dim=2)[found.alpha[:, :, 0] <= 0.5].max()) == 0


@pytest.mark.parametrize(("background", "level"), [("gray", 127 / 255), ("white", 1.0)])
def test_without_normals_the_plain_background_gives_alpha(
    views: ViewSet, background: sheet.Background, level: float
) -> None:
    found = sheet.cut_out(views.composited(level), None, views.cameras, background)
    assert found.normal is None
    assert float((found.alpha - views.alpha).abs().mean()) < 0.03


@given(st.floats(0.2, 1), st.floats(0, 1), st.sampled_from([127 / 255, 1.0]))
def test_dividing_out_the_background_inverts_the_blend(alpha: float, color: float, level: float) -> None:
    share, shade = torch.full((1, 1, 1, 1, 1), alpha), torch.full((1, 1, 3, 1, 1), color)
    blended = shade * share + (1 - share) * level
    assert float((sheet.without_background(blended, share, level) - shade).abs().max()) < 1e-5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_normal_colors_are_those_that_the_authors_publish(axis: int) -> None:
    """Red grows to the right, green upwards, blue towards the viewer: on the burger of their README, all three."""
    cameras = sheet.rig(8, photo_view=False).cameras(torch.zeros(1))
    vector = torch.zeros(1, 6, 3, 8, 8)
    vector[:, :, axis] = 1.0
    right, down, forward = (cameras.c2w[..., :3, k] for k in range(3))
    expected = (right, -down, -forward)[axis]
    found = sheet.world_normals(vector, cameras)[..., 4, 4]
    assert float((found - expected).abs().max()) < 1e-6


def test_six_views_with_normals_and_the_photo_are_reconstructed(views: ViewSet) -> None:
    cut = sheet.cut_out(views.composited(127 / 255)[:, 1:], coded(views)[:, 1:], CAMERAS[:, 1:], "gray")
    seven = ViewSet(
        torch.cat([views.rgb[:, :1], cut.rgb], 1),
        torch.cat([views.alpha[:, :1], cut.alpha], 1),
        CAMERAS,
        torch.cat([torch.zeros_like(cut.normal[:, :1]), cut.normal], 1),
    )
    made = reconstruct(seven, ReconstructionConfig.preset("fast"))[0]
    points = [mesh.sample_surface(3000, torch.Generator().manual_seed(k)) for k, mesh in enumerate((made.mesh, MESH))]
    apart = torch.cdist(*points)
    assert float(apart.min(1).values.mean() + apart.min(0).values.mean()) / 2 < 0.03


def test_alpha_of_thin_bands_is_between_its_sides() -> None:
    length = np.zeros((32, 32))
    length[:, 12:20] = 1.0
    length[:, [11, 20]] = 0.5
    rgb = np.broadcast_to(length[..., None].clip(0, 1), (32, 32, 3)).copy()
    alpha = sheet.normal_alpha(rgb, length)
    assert alpha[16, 16] > 0.99
    assert alpha[16, 2] < 0.01
    assert alpha[16, 11] == pytest.approx(0.5, abs=0.1)
