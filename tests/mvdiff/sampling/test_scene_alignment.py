"""New views of a scene in line with what is known: scale and exponent of depth, seams, and known pixels that stay."""

from dataclasses import replace

import torch
from box_rooms import box_views

from mvdiff.sampling.scene_alignment import align, first_writer, settled, without_seams
from mvdiff.sampling.scene_camera import SceneCamera, sphere_cameras
from recon.core.cameras import Cameras
from recon.core.views import ViewSet
from recon.rendering.warp import Warped
from recon.scenes.surface_warp import surface_warp

CAMERA = SceneCamera(70.0, 0.0, 0.0, 1.5)


def known_and_true(size: int = 48) -> tuple[Warped, ViewSet]:
    """What a station sees of a box room, from its first sphere and truly."""
    room = box_views(Cameras.cat([CAMERA.cameras(size), sphere_cameras(size)]).reshape(1, -1))
    targets = sphere_cameras(size, (0.5, 0.0, 0.3)).reshape(1, -1)
    return surface_warp(room, targets), box_views(targets)


def test_depths_are_brought_to_the_known_scale():
    warp, truth = known_and_true()
    shown = truth.depth > 0
    aligned, residual = align(replace(truth, depth=1.2 * truth.depth), warp)
    assert torch.allclose(aligned.depth[shown], truth.depth[shown], rtol=0.02)
    assert float(residual) < 0.02
    noise = torch.rand(truth.depth.shape, generator=torch.Generator().manual_seed(0))
    assert float(align(replace(truth, depth=noise * 5 + 0.1), warp)[1]) > 0.1


def test_each_view_is_straightened_and_outliers_do_not_count():
    warp, truth = known_and_true()
    bent = 1.1 * truth.depth**0.9
    bent[:, 2] = 0.9 * truth.depth[:, 2] ** 1.1
    bent[..., :6, :6] *= 3.0  # a surface that is not the known one
    aligned, _ = align(replace(truth, depth=bent), warp)
    error = (aligned.depth / truth.depth.clamp_min(1e-6)).log().abs()[..., 8:, 8:]
    assert float(error[truth.depth[..., 8:, 8:] > 0].max()) < 0.015
    assert float((bent / truth.depth.clamp_min(1e-6)).log().abs()[truth.depth > 0].median()) > 0.03


def test_seams_are_carried_into_what_is_new():
    warp, truth = known_and_true()
    half = torch.zeros_like(warp.valid)
    half[..., :24] = 1.0
    known = replace(warp, rgb=truth.rgb * half, depth=truth.depth * half, valid=half)
    new = replace(truth, depth=1.1 * truth.depth, rgb=(truth.rgb - 0.1).clamp(0, 1))
    smooth = first_writer(without_seams(new, known), known)
    before = first_writer(new, known)

    def step(views: ViewSet) -> float:
        """Mean jump of depth over the border, relative to the true one."""
        ratio = views.depth[:, :6] / truth.depth[:, :6].clamp_min(1e-6)
        return float((ratio[..., 24] - ratio[..., 23]).abs()[truth.depth[:, :6, :, :, 24] > 0].mean())

    assert step(before) > 0.09
    assert step(smooth) < 0.5 * step(before)
    assert torch.equal(smooth.depth[half > 0], truth.depth[half > 0])


def test_known_pixels_stay_in_each_hypothesis():
    warp, truth = known_and_true()
    two = ViewSet.cat([replace(truth, depth=truth.depth * 0 + 9.0)] * 2)
    both = Warped(*(torch.cat([value, value]) for value in (warp.rgb, warp.depth, warp.valid, warp.provenance)))
    merged, residual = settled(two, both)
    known = both.valid > 0.5
    assert residual.shape == (2,)
    assert torch.equal(merged.depth[known], both.depth[known])
    assert torch.equal(merged.rgb[known.expand_as(merged.rgb)], both.rgb[known.expand_as(merged.rgb)])
