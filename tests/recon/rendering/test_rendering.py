"""Pictures of shapes whose pictures are known, and the two renderers against each other."""

import math
import os

import numpy as np
import pytest
import torch
import trimesh

from recon import Cameras, TexturedMesh
from recon.rendering import render_mesh, shade
from recon.rendering.hits import planes
from recon.rendering.shade import Surface, as_pictures, sample_texture
from recon.rendering.visibility import first_hits, locate, visibility


def sphere(radius: float = 0.4, subdivisions: int = 5) -> TexturedMesh:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces)


def blobs() -> TexturedMesh:
    """Grey ball at the origin, red on +X, green on +Y, blue on +Z: no two views of it look alike."""
    parts = [((0, 0, 0), 0.2, (0.5, 0.5, 0.5)), ((0.35, 0, 0), 0.1, (1, 0, 0))]
    parts += [((0, 0.35, 0), 0.1, (0, 1, 0)), ((0, 0, 0.35), 0.1, (0, 0, 1))]
    vertices, faces, colors, start = [], [], [], 0
    for center, radius, color in parts:
        ball = trimesh.creation.icosphere(3, radius)
        vertices.append(ball.vertices + center)
        faces.append(ball.faces + start)
        colors.append(np.tile(color, (len(ball.vertices), 1)))
        start += len(ball.vertices)
    return TexturedMesh.from_arrays(np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors))


def centroid(weight: torch.Tensor) -> tuple[float, float]:
    h, w = weight.shape
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


def test_sphere_has_the_depth_normals_and_outline_of_a_sphere():
    cameras = Cameras.orbit([0.0, 120.0], [0.0, 35.0], size=64)
    views = render_mesh(sphere(), cameras, supersample=4)
    tangent = 0.4 / math.sqrt(1.5**2 - 0.4**2)  # of the cone that touches the sphere
    radius = tangent / math.tan(math.radians(20)) * 32
    assert views.alpha.sum((-1, -2)).flatten().numpy() == pytest.approx(math.pi * radius**2, rel=0.01)
    assert views.depth[0, :, 0, 32, 32].numpy() == pytest.approx(1.1, abs=2e-3)
    inside = views.alpha[0, :, 0] == 1
    points = cameras.unproject(views.depth[0, :, 0])
    assert (points.norm(dim=-1)[inside] - 0.4).abs().quantile(0.95) < 5e-3
    normals = views.normal[0].permute(0, 2, 3, 1)[inside]
    assert ((normals * torch.nn.functional.normalize(points[inside], dim=-1)).sum(-1) > 0.99).float().mean() > 0.98


def test_right_is_right_and_up_is_up():
    views = render_mesh(blobs(), Cameras.orbit([0.0, 90.0], 0.0, size=64))
    front, side = views.rgb[0] * views.alpha[0]
    red, green = centroid(front[0] - front[1]), centroid((front[1] - front[0]).clamp_min(0))
    assert red[0] > 40
    assert green[1] < 24
    blue = centroid((side[2] - side[0]).clamp_min(0))
    assert blue[0] < 24  # seen from +X, +Z points left


def test_colors_at_outlines_are_not_darkened():
    white = sphere()
    views = render_mesh(white, Cameras.orbit([0.0], size=32), supersample=4)
    edge = (views.alpha[0, 0, 0] > 0) & (views.alpha[0, 0, 0] < 1)
    assert edge.any()
    assert views.rgb[0, 0, :, edge].numpy() == pytest.approx(0.7, abs=1e-5)


def test_hidden_surfaces_are_hidden():
    seen = visibility(blobs(), Cameras.orbit([180.0], size=64))
    per_ball = len(trimesh.creation.icosphere(3).faces)
    assert not (seen.face >= 3 * per_ball).any()  # the blue ball stands behind the gray one


def test_barycentrics_give_back_the_hit_point():
    mesh, cameras = blobs(), Cameras.orbit([20.0, 200.0], 15.0, size=48)
    seen = visibility(mesh, cameras)
    hit = seen.face >= 0
    points = (mesh.triangles[seen.face[hit]] * seen.bary[hit][..., None]).sum(-2)
    assert torch.allclose(points, cameras.unproject(seen.depth)[hit], atol=1e-5)


def test_triangles_named_by_a_rasteriser_are_met_where_the_ray_caster_meets_them():
    mesh, cameras = blobs(), Cameras.orbit([20.0, 200.0], 15.0, size=48)
    cast = first_hits(mesh, cameras)
    found = locate(mesh, cameras, visibility(mesh, cameras).face)
    assert torch.equal(found.pixel, cast.pixel)
    assert torch.equal(found.face, cast.face)
    points = cast.on(planes(mesh.triangles))
    torch.testing.assert_close(found.on(planes(mesh.triangles)), points, atol=1e-5, rtol=0)
    ways, depth = cast.from_cameras(points, cameras)
    for number in range(2):
        own = cast.pixel // 48**2 == number
        alone = cast.from_cameras(points[own], cameras[number : number + 1])
        torch.testing.assert_close((ways[own], depth[own]), alone)


def test_depth_stays_on_triangles_seen_edge_on():
    """A fan of needles around the optical axis, each a hair off the plane of the rays."""
    angle = torch.arange(200) * 0.0314159
    radial = torch.stack([angle.cos(), angle.sin(), torch.zeros(200)], -1)
    across = torch.stack([-angle.sin(), angle.cos(), torch.zeros(200)], -1)
    axis = torch.tensor([0.0, 0.0, 0.4])
    corners = torch.stack([0.1 * radial + axis, 0.12 * radial - axis, 0.1 * radial - axis + 1e-7 * across], 1)
    mesh = TexturedMesh(corners.reshape(-1, 3), torch.arange(600).reshape(200, 3))
    cameras = Cameras.orbit([0.0], size=64)
    # Every pixel is told to see some needle, which is worse than any renderer would say.
    hits = locate(mesh, cameras, (torch.arange(64 * 64) % 200).reshape(1, 64, 64))
    depth = hits.from_cameras(hits.on(planes(mesh.triangles)), cameras)[1]
    assert torch.isfinite(depth).all()
    assert depth.min() > 1.1 - 1e-3
    assert depth.max() < 1.9 + 1e-3


def test_creases_stay_sharp_and_balls_smooth():
    box = trimesh.creation.box((0.5, 0.5, 0.5))
    views = render_mesh(TexturedMesh.from_arrays(box.vertices, box.faces), Cameras.orbit([0.0], size=32), supersample=1)
    normals = views.normal[0, 0, :, views.alpha[0, 0, 0] > 0]
    assert torch.allclose(normals[2], torch.ones_like(normals[2]), atol=1e-5)


def test_inside_out_triangles_face_the_camera():
    ball = sphere()
    flipped = TexturedMesh(ball.vertices, ball.faces.flip(1))
    camera = Cameras.orbit([0.0], size=16)
    assert render_mesh(flipped, camera).normal[0, 0, 2, 8, 8] > 0.99


def test_texture_is_upright():
    vertices = torch.tensor([[-0.4, -0.4, 0.0], [0.4, -0.4, 0.0], [0.4, 0.4, 0.0], [-0.4, 0.4, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    uv = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])[faces]
    texture = torch.zeros(3, 8, 8)
    texture[0, :4, :4] = 1  # red in the upper left
    texture[1, 4:, 4:] = 1  # green in the lower right
    mesh = TexturedMesh(vertices, faces, uv=uv, texture=texture)
    picture = render_mesh(mesh, Cameras.orbit([0.0], size=64)).rgb[0, 0]
    red, green = centroid(picture[0]), centroid(picture[1])
    assert red[0] < 32 < green[0]
    assert red[1] < 32 < green[1]


def test_texture_interpolates_and_repeats():
    texture = torch.arange(4.0).reshape(1, 1, 4).expand(3, 2, 4)
    uv = torch.tensor([[0.25, 0.5], [1.25, 0.5], [0.0, 0.5]])
    assert sample_texture(texture, uv)[:, 0].tolist() == pytest.approx([0.5, 0.5, 1.5])


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("supersample", [1, 2, 4])
def test_samples_sum_up_to_the_same_in_both_ways(pictures: int, supersample: int):
    points = Surface(blobs()).points(Cameras.orbit([10.0, 130.0, 250.0][:pictures], [20.0] * pictures, size=32))
    samples = torch.cat([points.albedo, torch.ones_like(points.depth)], -1)
    added, laid_out = shade._added(samples, points, supersample), shade._laid_out(samples, points, supersample)
    assert added.shape == (pictures * (32 // supersample) ** 2, 4)
    assert laid_out.numpy() == pytest.approx(added.numpy(), abs=1e-6)
    assert float(added[:, -1].sum()) == len(points.pixel) > 0


def test_many_small_pictures_show_what_each_shows_alone():
    cameras = Cameras.orbit(torch.arange(70) * 5.0, torch.arange(70.0), torch.linspace(0.2, 4, 70), size=32)
    surface = Surface(blobs())  # which the first cameras stand inside of
    together = render_mesh(surface, cameras, 1)
    alone = [render_mesh(blobs(), cameras[k : k + 1], 1) for k in range(70)]
    for name in ("rgb", "alpha", "normal", "depth"):
        assert torch.equal(getattr(together, name), torch.cat([getattr(each, name) for each in alone], 1))


def test_nothing_in_sight():
    mesh = TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, 3))
    assert visibility(mesh, Cameras.orbit([0.0], size=8)).face.max() == -1
    no_pictures = as_pictures(torch.zeros(0, dtype=torch.long), torch.zeros(0, 3), (0, 8, 8))
    assert no_pictures.shape == (0, 3, 8, 8)


def agreement(device: str) -> None:
    generator = torch.Generator().manual_seed(0)
    mesh = blobs()
    color = torch.rand(len(mesh.vertices), 3, generator=generator)
    mesh = TexturedMesh(mesh.vertices, mesh.faces, color)
    cameras = Cameras.orbit([10.0, 130.0], [5.0, 40.0], size=32)
    expected, views = render_mesh(mesh, cameras, 1), render_mesh(mesh.to(device), cameras, 1).to("cpu")
    same = (expected.alpha == views.alpha) & ((expected.depth - views.depth).abs() < 1e-3)
    assert same.float().mean() > 0.995  # rays through edges may go either way
    same = same.expand_as(expected.rgb)
    assert (expected.rgb - views.rgb)[same].abs().quantile(0.999) < 1e-2
    assert (expected.normal - views.normal)[same].abs().quantile(0.99) < 1e-2


@pytest.mark.cuda
def test_rasteriser_agrees_with_ray_caster():
    agreement("cuda")


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs TRITON_INTERPRET=1 and triton")
def test_rasteriser_kernel_agrees_in_the_interpreter(monkeypatch):
    pytest.importorskip("triton")
    from recon.rendering import rasterize

    mesh, cameras = blobs(), Cameras.orbit([10.0], [5.0], size=24)
    same = rasterize.nearest_faces(mesh, cameras) == visibility(mesh, cameras).face
    assert same.float().mean() > 0.99


def furnished_box() -> TexturedMesh:
    """A box of a few large triangles around the cameras, with a post; every corner lies behind some camera."""
    box = trimesh.creation.box((4.0, 2.5, 5.0))
    post = trimesh.creation.box((0.3, 2.5, 0.3), trimesh.transformations.translation_matrix((0.7, 0.0, -1.0)))
    both = trimesh.util.concatenate([box, post])
    return TexturedMesh.from_arrays(both.vertices, both.faces)


def inside_cameras(size: int) -> Cameras:
    """Cameras in the box in all directions, one of them in the plane of the post's corners."""
    position = torch.tensor([[0.0, 0.0, 0.0], [0.4, -0.2, 1.3], [-1.1, 0.6, -0.85], [0.1, 0.3, 0.2]])
    target = position + torch.tensor([[0.0, 0.0, -1.0], [0.6, 0.1, -1.0], [1.0, 0.0, 0.0], [0.1, -1.0, 0.2]])
    return Cameras.look_at(position, target, fov=90.0, size=size)


def agreement_inside(nearest_faces, device: str = "cpu", size: int = 16) -> None:
    """The triangle is the ray caster's, and so is the depth to rounding, at every pixel but those on edges."""
    mesh, cameras = furnished_box(), inside_cameras(size)
    expected = visibility(mesh, cameras)
    face = nearest_faces(mesh.to(device), cameras.to(device)).cpu()
    assert (face >= 0).all()  # closed: walls that a camera stands between do not vanish
    hits = locate(mesh, cameras, face)
    depth = hits.from_cameras(hits.on(planes(mesh.triangles)), cameras)[1].reshape_as(face)
    assert (face == expected.face).float().mean() > 0.98
    torch.testing.assert_close(depth, expected.depth, rtol=1e-4, atol=1e-4)


@pytest.mark.cuda
def test_walls_around_the_camera_are_drawn():
    from recon.rendering import rasterize

    agreement_inside(rasterize.nearest_faces, "cuda", 128)


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs TRITON_INTERPRET=1 and triton")
def test_walls_around_the_camera_are_drawn_in_the_interpreter():
    pytest.importorskip("triton")
    from recon.rendering import rasterize

    agreement_inside(rasterize.nearest_faces)


def test_walls_around_the_camera_are_cast():
    """The ray caster, against the box's own equation: the first of six planes along the ray."""
    box = trimesh.creation.box((4.0, 2.5, 5.0))
    mesh, cameras = TexturedMesh.from_arrays(box.vertices, box.faces), inside_cameras(32)
    origin, direction = cameras.rays()
    half = torch.tensor([2.0, 1.25, 2.5])
    distance = ((half * direction.sign() - origin) / direction).amin(-1)
    forward = (direction * cameras.c2w[:, None, :3, 2]).sum(-1)
    depth = visibility(mesh, cameras).depth.flatten(1)
    torch.testing.assert_close(depth, distance * forward, rtol=1e-5, atol=1e-5)
