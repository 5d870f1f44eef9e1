"""Atlas and texture: no texel twice, charts in proportion, colors from the views and along the surface."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon import Cameras, TexturedMesh, ViewSet
from recon.core.conventions import linear_to_srgb, srgb_to_linear
from recon.rendering import render_mesh
from recon.surface import charts
from recon.surface.delight import delit
from recon.surface.filling import Links, extend_colors
from recon.surface.packing import Projection, pack_charts
from recon.surface.texture import TextureConfig, bake_texture
from recon.surface.unwrap import texels, unwrap

RIG = ([30.0, 90, 150, 210, 270, 330], [20.0, -10, 20, -10, 20, -10])


def from_trimesh(made) -> TexturedMesh:
    return TexturedMesh.from_arrays(made.vertices, made.faces)


@pytest.fixture(scope="module")
def spring() -> TexturedMesh:
    """A wire wound twice: seen from above it lies over itself."""
    angle = np.linspace(0, 4.2 * np.pi, 60)
    along = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    section = [(-0.05, -0.02), (-0.05, 0.02), (0.05, 0.02), (0.05, -0.02)]
    height = (0.03 * angle - 0.2)[:, None] * np.array([0.0, 1.0, 0.0])
    rings = np.stack([(0.3 + r) * along + height + np.array([0.0, y, 0.0]) for r, y in section], 1)
    i, j = np.meshgrid(np.arange(59) * 4, np.arange(4), indexing="ij")
    a, b = i + j, i + (j + 1) % 4
    sides = np.stack([np.stack([a, b, b + 4], -1), np.stack([a, b + 4, a + 4], -1)], 2).reshape(-1, 3)
    caps = [[0, 2, 1], [0, 3, 2], [236, 237, 238], [236, 238, 239]]
    made = TexturedMesh.from_arrays(rings.reshape(-1, 3), np.concatenate([sides, caps]))
    corner = made.triangles
    volume = (torch.linalg.cross(corner[:, 0], corner[:, 1]) * corner[:, 2]).sum()
    return made if volume > 0 else replace(made, faces=made.faces.flip(1))


@pytest.fixture(scope="module")
def ball() -> TexturedMesh:
    import trimesh

    made = from_trimesh(trimesh.creation.icosphere(4, 0.4))
    return replace(made, colors=pattern(made.vertices))


def pattern(points: torch.Tensor) -> torch.Tensor:
    """sRGB that varies smoothly and differently along each axis."""
    return 0.5 + 0.4 * torch.sin(points * torch.tensor([9.0, 7.0, 5.0]))


def times_covered(mesh: TexturedMesh, size: int) -> torch.Tensor:
    """How many triangles lie over each texel's center, by brute force."""
    axis = (torch.arange(size) + 0.5) / size
    p = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 1, 2).double()
    a, b, c = mesh.uv.double().unbind(1)
    sides = [
        (q[:, 0] - o[:, 0]) * (p[..., 1] - o[:, 1]) - (q[:, 1] - o[:, 1]) * (p[..., 0] - o[:, 0])
        for o, q in ((a, b), (b, c), (c, a))
    ]
    inside = torch.stack([s > 1e-9 for s in sides]).all(0) | torch.stack([s < -1e-9 for s in sides]).all(0)
    return inside.sum(1).reshape(size, size)


def test_a_surface_that_lies_over_itself_has_every_texel_once(spring):
    flat = unwrap(spring, 256)
    assert int(charts.cut(spring).count) < 40
    assert int(times_covered(flat, 128).max()) == 1
    assert flat.uv.min() >= 0
    assert flat.uv.max() <= 1


def test_charts_are_as_large_in_the_atlas_as_on_the_surface(ball):
    flat = unwrap(ball, 256)
    face, bary = texels(flat, 256)
    counts = torch.bincount(face[face >= 0], minlength=len(flat)).double()
    a, b, c = flat.triangles.double().unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    octants = (flat.triangles.mean(1) > 0).long() @ torch.tensor([1, 2, 4])
    density = torch.stack([counts[octants == i].sum() / area[octants == i].sum() for i in range(8)])
    assert float(density.max() / density.min()) < 1.2
    assert (face >= 0).float().mean() > 0.4
    assert torch.allclose(bary[face >= 0].sum(-1), torch.ones(()), atol=1e-4)


def test_rings_and_slivers_are_packed_as_they_are_shaped():
    import trimesh

    ring = trimesh.creation.annulus(0.35, 0.4, 0.02)
    rod = trimesh.creation.box((0.8, 0.004, 0.004))
    both = trimesh.util.concatenate([ring.subdivide(), rod.apply_translation((0, 0, 0.2))])
    mesh = TexturedMesh.from_arrays(both.vertices, both.faces)
    cut = charts.cut(mesh)
    own = Projection.of(mesh, cut.direction).flat(cut)
    made = pack_charts(own, mesh.faces.numpy(), cut, 256)
    assert int(times_covered(replace(mesh, uv=torch.from_numpy(made)), 128).max()) == 1
    before, after = (np.abs(np.linalg.det(np.diff(uv.astype(float), axis=1))) for uv in (own, made))
    for chart in range(cut.count):  # xatlas makes small charts up to a texel larger, but bends none
        scale = (after / before)[cut.chart == chart]
        assert scale.max() < 1.01 * scale.min()


def test_every_face_looks_towards_its_chart(spring, ball):
    for mesh in (spring, ball):
        made = charts.cut(mesh)
        axis = torch.from_numpy(charts.DIRECTIONS[made.direction])
        assert (mesh.face_normals() * axis).sum(-1).min() > 0.1


def test_texture_repeats_what_the_views_show_without_seams(ball):
    views = render_mesh(ball, Cameras.orbit(*RIG, size=96))
    made = bake_texture(replace(ball, colors=None), views, TextureConfig(size=256))
    face, bary = texels(made, 256)
    corners = made.triangles[face.clamp_min(0)]
    truth = pattern((corners * bary[..., None]).sum(2))
    painted = made.texture.movedim(0, -1)
    seen = (face >= 0) & (corners.mean(2)[..., 1].abs() < 0.25)
    assert (painted - truth)[seen].abs().mean() < 0.02
    assert (painted - truth)[seen].abs().max() < 0.15
    # Free texels beside a chart repeat it, so that no filter mixes in another color.
    rim = (face < 0) & torch.nn.functional.max_pool2d((face >= 0)[None].float(), 3, 1, 1)[0].bool()
    neighbors = torch.nn.functional.unfold(painted.movedim(-1, 0)[:, None], 3, padding=1).reshape(3, 9, -1)
    nearest = (neighbors - painted.movedim(-1, 0).reshape(3, 1, -1)).abs().sum(0).sort(0).values[1]
    assert nearest.reshape(256, 256)[rim][:-1].max() < 0.1


def test_unseen_surface_takes_the_color_along_it_not_through_it():
    import trimesh

    plate = from_trimesh(trimesh.creation.box((1.0, 0.02, 1.0)).subdivide_to_size(0.1))
    above = plate.vertices[:, 1] > 0
    colors = torch.where(above[:, None], torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]))
    center = plate.vertices[:, [0, 2]].norm(dim=-1) < 0.25
    filled = extend_colors(Links.of(plate), torch.where((center & ~above)[:, None], 0.5, colors), ~(center & ~above))
    assert (filled[center & ~above] - torch.tensor([1.0, 0.0, 0.0])).abs().max() < 0.02
    assert torch.equal(filled[~center], colors[~center])


def test_a_part_that_no_view_sees_takes_the_mean_color(ball):
    hidden = replace(ball, vertices=ball.vertices * 0.3)
    both = TexturedMesh(
        torch.cat([ball.vertices, hidden.vertices]), torch.cat([ball.faces, hidden.faces + len(ball.vertices)])
    )
    known = torch.arange(len(both.vertices)) < len(ball.vertices)
    colors = torch.cat([ball.colors, torch.zeros_like(ball.colors)])
    inner = extend_colors(Links.of(both), colors, known)[~known]
    assert (inner - ball.colors.mean(0)).abs().max() < 0.01
    assert torch.equal(extend_colors(Links.of(both), colors, ~known & False), torch.full_like(colors, 0.5))


def lit_photo(ball: TexturedMesh, size: int) -> ViewSet:
    """Views of the ball with stripes that the views are too coarse for, under a lamp at the upper left."""
    striped = replace(ball, colors=None)
    view = render_mesh(striped, Cameras.orbit([0.0], 10.0, size=size))
    points = view.cameras.unproject(view.depth[:, :, 0])[0, 0].movedim(-1, 0)
    albedo = pattern(points.movedim(0, -1)).movedim(-1, 0) + 0.08 * torch.sign(torch.sin(points[:1] * 60))
    lamp = torch.nn.functional.normalize(torch.tensor([-0.7, 0.6, 0.6]), dim=0)
    light = 0.35 + 0.8 * (view.normal[0, 0] * lamp[:, None, None]).sum(0).clamp_min(0)
    return replace(view, rgb=linear_to_srgb(srgb_to_linear(albedo) * light).clamp(0, 1)[None, None] * view.alpha)


def test_the_photos_detail_is_kept_and_its_light_is_not(ball):
    views, photo = render_mesh(ball, Cameras.orbit(*RIG, size=64)), lit_photo(ball, 192)
    config = TextureConfig(size=256)
    plain = bake_texture(replace(ball, colors=None), views, config)
    made = bake_texture(replace(ball, colors=None), views, config, photo)
    face, bary = texels(made, 256)
    points = (made.triangles[face.clamp_min(0)] * bary[..., None]).sum(2)
    truth = pattern(points) + 0.08 * torch.sign(torch.sin(points[..., :1] * 60))
    front = (face >= 0) & (points[..., 2] > 0.3)
    error, without = (
        ((m.texture.movedim(0, -1) - truth) * front[..., None]).square().sum() / (3 * front.sum())
        for m in (made, plain)
    )
    assert error < 0.3 * without
    # The lit side is not brighter than the dark one, beyond what the pattern itself is.
    offset = (made.texture.movedim(0, -1) - truth).mean(-1)
    left, right = front & (points[..., 0] < -0.1), front & (points[..., 0] > 0.1)
    assert (offset[left].mean() - offset[right].mean()).abs() < 0.03
    back = (face >= 0) & (points[..., 2] < -0.1)
    assert (made.texture - plain.texture).movedim(0, -1)[back].abs().max() < 0.02


def test_a_photo_that_says_nothing_about_the_light_is_left_as_it_is(ball):
    photo = lit_photo(ball, 64)
    assert delit(replace(photo, alpha=torch.zeros_like(photo.alpha)), ball).rgb.equal(photo.rgb)


@pytest.mark.cuda
def test_the_gpu_paints_what_the_processor_paints(ball):
    views, photo = render_mesh(ball, Cameras.orbit(*RIG, size=64)), lit_photo(ball, 128)
    bare, config = replace(ball, colors=None), TextureConfig(size=256)
    here, there = (
        bake_texture(bare, views, config, photo),
        bake_texture(bare.to("cuda"), views.to("cuda"), config, photo),
    )
    assert torch.allclose(here.uv, there.uv.cpu(), atol=1e-5)
    assert (here.texture - there.texture.cpu()).abs().mean() < 0.01


def test_the_photos_tone_fades_out_beyond_it(ball):
    """Views that are too blue everywhere: beside the photo they follow it, behind the object they stay as they are."""
    views, photo = (
        render_mesh(ball, Cameras.orbit(*RIG, size=64)),
        render_mesh(ball, Cameras.orbit([0.0], 0.0, size=96)),
    )
    wrong = replace(views, rgb=(views.rgb + torch.tensor([-0.1, 0.0, 0.1])[:, None, None]).clamp(0, 1))
    made = bake_texture(replace(ball, colors=None), wrong, TextureConfig(size=256), photo)
    face, bary = texels(made, 256)
    points = (made.triangles[face.clamp_min(0)] * bary[..., None]).sum(2)
    error = (made.texture.movedim(0, -1) - pattern(points))[..., 2] - (made.texture.movedim(0, -1) - pattern(points))[
        ..., 0
    ]
    level = points[..., 1].abs() < 0.25
    rings = [(0.3, 0.41), (0.0, 0.1), (-0.2, -0.1), (-0.41, -0.3)]
    step = [float(error[(face >= 0) & level & (points[..., 2] > a) & (points[..., 2] < b)].mean()) for a, b in rings]
    assert abs(step[0]) < 0.04
    assert step[0] < step[1] < step[2] < step[3]
    assert 0.08 < step[3] < 0.2
