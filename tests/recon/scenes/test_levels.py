"""Two levels: a street that goes on beyond the near grid."""

import torch
from furnished_room import sphere

from recon.core.mesh import TexturedMesh
from recon.rendering import render_mesh
from recon.scenes import scene_mesh
from recon.scenes.levels import far_grid
from recon.scenes.mesh import SceneMeshConfig
from recon.scenes.scene import SceneConfig, build_scene, scene_grid, surface_points


def street() -> TexturedMesh:
    """Ground, and a facade on the right that begins before and ends far behind the near grid."""
    ground = torch.tensor([[-30.0, -0.4, 30.0], [30.0, -0.4, 30.0], [30.0, -0.4, -30.0], [-30.0, -0.4, -30.0]])
    facade = torch.tensor([[1.5, -0.4, 2.0], [1.5, 2.5, 2.0], [1.5, 2.5, -14.0], [1.5, -0.4, -14.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    colors = torch.tensor([[0.4, 0.4, 0.4], [0.7, 0.4, 0.3]]).repeat_interleave(4, 0)
    return TexturedMesh(torch.cat([ground, facade]), torch.cat([faces, faces + 4]), colors)


def test_a_street_goes_on_beyond_the_near_grid():
    views = render_mesh(street(), sphere(torch.zeros(3), 96), 2)
    config = SceneConfig(
        cells=200_000, near_reach=4.0, far_reach=12.0, sky_height=64, mesh=SceneMeshConfig(faces=30_000)
    )
    near = scene_grid(views, config)
    assert far_grid(surface_points(views), near, config.cells, config.far_reach).cell > 1.2 * near.cell
    scene = build_scene(views, config=config)
    points = scene.mesh.vertices
    facade = points[(points[:, 0] - 1.5).abs() < 0.25]
    assert facade[:, 2].min() < -8.0  # the near grid ends at 4
    area = scene.mesh.sample_surface(20_000)
    off = torch.minimum((area[:, 1] + 0.4).abs(), (area[:, 0] - 1.5).abs())
    near_part = area.abs().amax(-1) < 4
    # A thin facade ends in a lip as deep as the truncation behind it.
    assert off[near_part].quantile(0.9) < near.cell
    assert off.quantile(0.9) < 0.2
    assert scene.sky is not None
    assert scene.floor.connected
    # Rays of the views meet the surface at their own depth on both sides of the border between the levels.
    back = render_mesh(scene.mesh, views.cameras[0], 1)
    depth = views.depth[0]
    both = (back.alpha[0] > 0.99) & (views.alpha[0] > 0.999) & (depth > 2) & (depth < 7)
    wanted = (views.alpha[0] > 0.999) & (depth > 2) & (depth < 7)
    assert both.sum() > 0.9 * wanted.sum()
    assert ((back.depth[0] / depth - 1).abs()[both] < 0.1).float().mean() > 0.9


def test_a_room_needs_no_far_level(small_room):
    grid = scene_grid(small_room.views, SceneConfig(cells=100_000))
    assert far_grid(surface_points(small_room.views), grid, 100_000, 24.0) is None
    assert len(scene_mesh(build_scene(small_room.views, config=SceneConfig(cells=50_000)).field)) > 0
