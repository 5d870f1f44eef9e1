"""Pictures by parallel rays: analytic shapes, handedness, and the rasterizer against the ray caster."""

import math
import os
import subprocess
import sys

import pytest
import torch
import trimesh
from asymmetric import orbits, seat

from recon import Cameras, TexturedMesh
from recon.rendering import render_mesh
from recon.rendering.visibility import first_hits, locate, visibility


def sphere(radius: float = 0.4) -> TexturedMesh:
    mesh = trimesh.creation.icosphere(5, radius)
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces)


def test_a_sphere_is_a_disc_of_its_own_radius_with_the_depth_of_a_sphere():
    cameras = Cameras.orbit([0.0, 120.0], [0.0, 35.0], size=64).as_orthographic(0.5)
    views = render_mesh(sphere(), cameras, supersample=4)
    assert views.alpha.sum((-1, -2)).flatten().numpy() == pytest.approx(math.pi * (0.4 * 64) ** 2, rel=5e-3)
    y, x = torch.meshgrid(*[(torch.arange(64) + 0.5) / 64 - 0.5] * 2, indexing="ij")
    inside = x**2 + y**2 < 0.38**2
    depth = 1.5 - (0.16 - x**2 - y**2).clamp_min(0).sqrt()
    assert (views.depth[0, :, 0] - depth)[:, inside].abs().max() < 5e-3
    normals = views.normal[0].permute(0, 2, 3, 1)[:, inside]
    radial = torch.nn.functional.normalize(cameras.unproject(views.depth[0, :, 0])[:, inside], dim=-1)
    assert ((normals * radial).sum(-1) > 0.99).all()


def test_a_box_covers_its_own_side_whatever_its_distance():
    box = trimesh.creation.box(extents=(0.5, 0.25, 0.7))
    mesh = TexturedMesh.from_arrays(box.vertices, box.faces)
    for distance in (0.6, 1.5, 40.0):
        cameras = Cameras.orbit([0.0, 90.0], distance=distance, size=64).as_orthographic(0.5)
        views = render_mesh(mesh, cameras)
        assert views.alpha.sum((-1, -2)).flatten().tolist() == pytest.approx([32 * 16, 44.8 * 16], rel=1e-2)
        assert views.depth[0, :, 0, 32, 32].tolist() == pytest.approx([distance - 0.35, distance - 0.25], abs=1e-4)


def test_right_is_right_and_up_is_up():
    front, back = render_mesh(seat(), Cameras.orbit([0.0, 180.0], size=64).as_orthographic(0.5)).rgb[0]
    green = torch.stack([image[1] > 0.5 for image in (front, back)])
    columns, rows = (green.any(axis).float() @ torch.arange(64.0) / green.any(axis).sum(-1) for axis in (1, 2))
    assert columns.tolist() == pytest.approx([32 + 0.225 * 64 - 0.5, 32 - 0.225 * 64 - 0.5], abs=1)
    assert rows.tolist() == pytest.approx([32 - 0.1 * 64 - 0.5] * 2, abs=1)


def test_what_stands_behind_the_camera_is_not_seen():
    """The camera's plane cuts the arm off; only the base's far part lies before it."""
    cameras = Cameras.orbit([0.0], distance=0.0001, size=32).as_orthographic(0.5)
    depth = visibility(seat(), cameras).depth
    assert depth.max() <= 0.2001
    assert depth[depth > 0].min() > 0
    assert (depth > 0).any()


def test_located_hits_are_those_of_the_ray_caster():
    mesh = seat()
    for cameras in orbits(24).values():
        cast = first_hits(mesh, cameras)
        face = torch.full((len(cameras) * 24 * 24,), -1)
        face[cast.pixel] = cast.face
        found = locate(mesh, cameras, face.reshape(-1, 24, 24))
        assert torch.equal(found.pixel, cast.pixel)
        assert torch.allclose(found.second, cast.second, atol=1e-4)
        assert torch.allclose(found.third, cast.third, atol=1e-4)


_INTERPRETED = """
import sys
import torch
from asymmetric import orbits, seat
from recon.rendering import rasterize
from recon.rendering.visibility import first_hits

rasterize._LAUNCHING = rasterize.torch.no_grad()
rasterize.torch.cuda.device_of = lambda _: torch.no_grad()
mesh = seat()
for name, cameras in orbits(16).items():
    drawn = rasterize.nearest_faces(mesh, cameras).flatten()
    cast, expected = first_hits(mesh, cameras), torch.full_like(drawn, -1)
    expected[cast.pixel] = cast.face
    print(name, int((drawn != expected).sum()), int((expected >= 0).sum()))
"""


@pytest.mark.slow
def test_the_rasterizer_draws_what_the_ray_caster_sees():
    """The kernels by Triton's interpreter; only pixels whose center lies on an edge may differ."""
    pytest.importorskip("triton")
    paths = os.pathsep.join([os.path.dirname(sys.modules["asymmetric"].__file__), *sys.path])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths}
    ran = subprocess.run([sys.executable, "-c", _INTERPRETED], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for line in ran.stdout.splitlines():
        name, different, covered = line.split()
        assert int(covered) > 100, name
        assert int(different) <= 2, line
