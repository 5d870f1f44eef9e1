"""Pictures of scenes against closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mvdiff.data.scenes.cameras import Pose, cameras_of
from mvdiff.data.scenes.light import LightBaker, Lighting
from mvdiff.data.scenes.make import cast_into
from mvdiff.data.scenes.render import SceneRenderer
from mvdiff.data.scenes.scene import Ground, Lamp, Scene, Sun
from mvdiff.data.scenes.soup import AXIS_X, AXIS_Y, AXIS_Z, SoupBuilder
from mvdiff.data.scenes.textures import TEXELS, Atlas


def scene_of(builder: SoupBuilder, lighting: Lighting | None = None, sky: float = 0.25) -> Scene:
    soup = builder.soup()
    casting = cast_into(soup)
    lighting = lighting or Lighting(np.ones(3), 0.5)
    light, sun = LightBaker(soup, casting).bake(lighting)
    ground = Ground(np.ones((4, 4), bool), np.zeros((4, 4), np.float32), (-1.0, -1.0), 0.5)
    sky_picture = np.full((8, 16, 3), sky, np.float32)
    return Scene("test", 0, "train", soup, light, builder.atlas(), sky_picture, ground, True, sun, casting=casting)


def wall_at(z: float, width: float = 8.0, step: float = 0.5, **more) -> SoupBuilder:
    builder = SoupBuilder()
    builder.panel(np.array([-width / 2, -4, z]), AXIS_X, AXIS_Y, width, 8.0, step, **more)
    return builder


def test_depth_and_normal_of_a_wall_are_exact_and_the_sky_has_none():
    camera = cameras_of([Pose((0, 0, 0), 0, 0, 0, 90)], 32)
    seen = SceneRenderer(scene_of(wall_at(-3.0, width=3.0))).views(camera)
    column = (torch.arange(32) + 0.5 - 16) / 16 * 3  # where the rays meet the wall's plane
    on_wall = (column.abs() < 1.5).expand(1, 32, 32)
    assert torch.equal(seen.depth > 0, on_wall)
    assert torch.allclose(seen.depth[on_wall], torch.tensor(3.0), atol=1e-5)
    assert torch.allclose(seen.normal[on_wall], torch.tensor([0.0, 0, 1]), atol=1e-6)
    assert seen.normal[~on_wall].abs().max() == 0
    assert torch.allclose(seen.rgb[~on_wall & (seen.alpha == 0)], torch.tensor(0.25), atol=1e-5)


def test_edges_mix_colors_but_never_depths():
    builder = wall_at(-5.0, color=(0.1, 0.1, 0.1))
    builder.panel(np.array([0.03, -4, -2.0]), AXIS_X, AXIS_Y, 4.0, 8.0, 0.5, (1, 1, 1))
    seen = SceneRenderer(scene_of(builder)).views(cameras_of([Pose((0, 0, 0), 0, 0, 0, 60)], 32))
    assert set(seen.depth.unique().mul(1000).round().int().tolist()) <= {2000, 5000}
    red = seen.rgb[0, 16, :, 0]
    dark, bright = red[:14].mean(), red[18:].mean()
    between = (red > dark + 0.1) & (red < bright - 0.1)
    assert 1 <= int(between.sum()) <= 2


def test_depth_alone_is_the_depth_of_pictures():
    renderer, cameras = SceneRenderer(scene_of(wall_at(-3.0, 3.0))), cameras_of([Pose((0, 0, 0), 20, 5, 3, 80)], 24)
    assert torch.allclose(renderer.depth(cameras), renderer.views(cameras).depth, atol=1e-4)


def test_the_sky_is_looked_up_by_direction():
    builder = SoupBuilder()
    builder.panel(np.array([-1.0, -9, 1]), AXIS_X, -AXIS_Z, 2, 2)
    scene = scene_of(builder)
    picture = np.zeros((64, 128, 3), np.float32)
    picture[:32, :, 0] = 1  # above the horizon
    picture[:, 96:, 1] = 1  # from +X to +Z
    scene = replace(scene, sky=picture)
    poses = [Pose((0, 0, 0), 0, 40, 0, 20), Pose((0, 0, 0), 0, -20, 0, 20), Pose((0, 0, 0), 135, 40, 0, 20)]
    rgb = SceneRenderer(scene).views(cameras_of(poses, 8)).rgb.mean((1, 2))
    assert torch.allclose(rgb[:, :2], torch.tensor([[1.0, 0], [0, 0], [1, 1]]), atol=1e-4)


def test_the_suns_shadow_falls_where_geometry_says():
    builder = SoupBuilder()
    builder.panel(np.array([-4.0, 0, 4]), AXIS_X, -AXIS_Z, 8, 8, 0.5)
    builder.panel(np.array([-1.0, 1, 1]), AXIS_X, -AXIS_Z, 2, 2, 0.5)  # a roof one meter above
    direction = np.array([1.0, 1, 0]) / math.sqrt(2)  # so its shadow lies one meter towards -X
    scene = scene_of(builder, Lighting(np.full(3, 0.2), 0.3, (), Sun(direction, np.ones(3))))
    camera = cameras_of([Pose((0, 0.9, 0), 0, -90, 0, 140)], 64)
    seen = SceneRenderer(scene).views(camera)
    points = camera.unproject(seen.depth)[0]
    bright = seen.rgb[0].mean(-1)
    shadow = (points[..., 0] > -1.95) & (points[..., 0] < -0.05) & (points[..., 2].abs() < 0.95)
    lit = (points[..., 0] > 0.05) & (points[..., 0] < 3) & (points[..., 2].abs() < 2)
    assert bright[shadow].max() < bright[lit].min() - 0.1


def test_lamps_fall_off_and_are_blocked():
    builder = SoupBuilder()
    builder.panel(np.array([-4.0, 0, 4]), AXIS_X, -AXIS_Z, 8, 8, 0.5)
    builder.panel(np.array([1.0, 0.5, 3]), AXIS_X, -AXIS_Z, 2, 6, 0.5)
    soup = builder.soup()
    lamp = Lamp(np.array([0.0, 2, 0]), np.ones(3))
    light, _ = LightBaker(soup, cast_into(soup)).bake(Lighting(np.full(3, 1e-3), 0.3, [lamp]))
    floor = np.isclose(soup.vertices[:, 1], 0)

    def at(x: float) -> float:
        near = floor & np.isclose(soup.vertices[:, 0], x) & np.isclose(soup.vertices[:, 2], 0)
        return float(light[near].mean())

    expected = (2 / math.hypot(2, 1)) ** 3  # cosine over squared distance
    assert at(-1.0) / at(0.0) == pytest.approx(expected, rel=0.05)
    assert at(2.0) < 0.05 * at(0.0)


def test_a_lamp_lights_its_zone_alone():
    soup = wall_at(-3.0).soup()
    both = Lighting(np.full(3, 0.1), 0.3, [Lamp(np.zeros(3), np.ones(3), zone=(-2.0, 2.0))])
    none = Lighting(np.full(3, 0.1), 0.3)
    baker = LightBaker(soup, cast_into(soup))
    assert np.array_equal(baker.bake(both)[0], baker.bake(none)[0])


def test_mip_levels_keep_the_mean_and_the_finest_shows_each_texel():
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(TEXELS, TEXELS, 3))
    atlas = Atlas.of([np.ones((TEXELS, TEXELS, 3)), image])
    uv = torch.from_numpy(rng.uniform(-2, 2, (500, 2))).float()
    number = torch.ones(500, dtype=torch.long)
    assert torch.allclose(atlas.sample(number * 0, uv, torch.rand(500) * 300), torch.ones(500, 3))
    coarse = atlas.sample(number, uv, torch.full((500,), 128.0))
    mean = atlas.texels[TEXELS**2 : 2 * TEXELS**2].mean(0)
    assert torch.allclose(coarse, mean.expand(500, 3), atol=1e-4)
    centers = torch.tensor([[(37 + 0.5) / TEXELS, (90 + 0.5) / TEXELS]])
    fine = atlas.sample(number[:1], centers, torch.ones(1))
    assert torch.allclose(fine[0], atlas.texels[TEXELS**2 + 90 * TEXELS + 37], atol=1e-4)
