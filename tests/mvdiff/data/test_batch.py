"""Records and batches: what they say is what a renderer of the same object and camera sees."""

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mvdiff.data.augment import AugmentConfig
from mvdiff.data.batch import BatchConfig, TrainingBatch, sample_batch
from mvdiff.data.procedural import make
from mvdiff.data.render.lighting import Light
from mvdiff.data.render.record import RecordConfig, reference_cameras, render_record
from mvdiff.data.stores.store import ViewStore
from mvdiff.data.warp import SeededRandom, warp_mesh
from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering import render_mesh
from recon.rendering.shade import Surface

RECORD = RecordConfig(size=48, ring_views=6, references=3, pattern_probability=0.0)
CLEAN = AugmentConfig(color=0, blur=0, noise=0, compression=0, matte=0)
#: Unlike its mirror image, and different from every side.
OBJECTS = [make(2, "teapot").mesh, make(1, "hidden_handle_mug").mesh, make(5, "person").mesh]


@pytest.fixture(scope="module")
def store() -> ViewStore:
    filled = ViewStore.empty(len(OBJECTS), RECORD)
    for index, mesh in enumerate(OBJECTS):
        filled.put(index, render_record(mesh, 10 + index, RECORD), str(index))
    return filled


def batch_of(store: ViewStore, seed: int = 0, size: int = 6, **changes) -> TrainingBatch:
    settings = {"random_rig_probability": 0.5, "second_reference_probability": 1.0, "augment": CLEAN} | changes
    return sample_batch(store, size, torch.Generator().manual_seed(seed), BatchConfig(**settings))


def as_record(mesh: TexturedMesh, cameras: Cameras) -> Tensor:
    """Targets [v 8 h w] in [-1, 1] by the public renderer."""
    views = render_mesh(mesh, cameras, supersample=RECORD.supersample)
    inside = (views.alpha[0] * 255).round() > 0
    channels = [2 * views.rgb[0] - 1, views.normal[0], 2 * (views.depth[0] - 1) - 1]
    rgb, normal, depth = (torch.where(inside, values, 0.0) for values in channels)
    return torch.cat([rgb, 2 * views.alpha[0] - 1, normal, depth], 1)


def assert_alike(seen: Tensor, expected: Tensor) -> None:
    """Equal but for a few pixels on edges, where a ray may take the other side."""
    difference = (seen - expected).abs()
    assert (difference > 0.03).float().mean() < 0.01
    assert difference.mean() < 0.005


def turned(degrees: float, mirror: bool = False) -> Tensor:
    """Azimuth ``degrees`` comes to 0; then x is mirrored."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    world = torch.tensor([[c, 0, -s, 0], [0, 1, 0, 0], [s, 0, c, 0], [0, 0, 0, 1.0]])
    return torch.diag(torch.tensor([-1.0, 1, 1, 1])) @ world if mirror else world


def test_targets_are_what_their_cameras_see(store: ViewStore):
    for index, mesh in enumerate(OBJECTS):
        cameras = Cameras.orbit(store.target_angles[index, :, 0], store.target_angles[index, :, 1], size=RECORD.size)
        pictures = store.targets[index].float() / 127.5 - 1
        pictures = torch.cat([pictures[:, 3:4], torch.where(store.targets[index, :, 3:4] > 0, pictures, 0.0)], 1)
        expected = as_record(mesh, cameras)
        assert_alike(pictures[:, 1:4], expected[:, :3])
        assert_alike(pictures[:, :1], expected[:, 3:4])
        assert_alike(pictures[:, 5:], expected[:, 4:])


def test_normals_are_unit_and_belong_to_the_depth(store: ViewStore):
    for index in range(len(OBJECTS)):
        targets = store.targets[index].float() / 255
        solid = targets[:, 3] == 1
        normal, depth = targets[:, 4:7] * 2 - 1, targets[:, 7] + 1
        assert (normal.norm(dim=1)[solid] - 1).abs().max() < 0.02
        assert depth[solid].min() > 0.99
        assert depth[solid].max() < 2.01
        cameras = Cameras.orbit(store.target_angles[index, :, 0], store.target_angles[index, :, 1], size=RECORD.size)
        points = cameras.unproject(depth)
        assert points[solid].norm(dim=-1).max() < 0.52  # inside the bounding sphere
        towards = torch.nn.functional.normalize(cameras.position[:, None, None] - points, dim=-1)
        facing = (towards.permute(0, 3, 1, 2) * normal).sum(1)[solid]
        assert (facing > -0.1).float().mean() > 0.995


def test_references_are_taken_by_their_cameras(store: ViewStore):
    for index, mesh in enumerate(OBJECTS):
        assert_framed(store.references[index].float() / 255, mesh, store.reference_parameters[index])


def assert_framed(references: Tensor, mesh: TexturedMesh, parameters: Tensor) -> None:
    cameras = reference_cameras(parameters).cameras(RECORD.size)
    seen_through(references, mesh, cameras)


def seen_through(references: Tensor, mesh: TexturedMesh, cameras: Cameras) -> None:
    """Silhouettes agree, and the mesh's own points project into the box of what is seen."""
    alpha = render_mesh(mesh, cameras).alpha[0, :, 0]
    seen = references[:, 3]
    assert (torch.minimum(alpha, seen).sum((1, 2)) / torch.maximum(alpha, seen).sum((1, 2))).min() > 0.97
    pixels, _ = cameras.project(mesh.vertices.expand(len(cameras), -1, -1))
    for picture, points in zip(seen, pixels, strict=True):
        there = (picture > 0.25).nonzero().flip(-1)
        torch.testing.assert_close(points.amin(0), there.amin(0).float(), atol=1.3, rtol=0)
        torch.testing.assert_close(points.amax(0), there.amax(0).float() + 1, atol=1.3, rtol=0)


def test_pictures_are_lit_alike_together_and_one_by_one():
    cameras = Cameras.orbit([0.0, 70.0, 200.0], 20.0, size=32)
    light, surface = Light.draw(cameras, SeededRandom(1)), Surface(OBJECTS[0])
    together = light(surface.points(cameras), cameras)
    alone = [light[own](points, cameras[own]) for own, points in surface.parts(cameras)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_record_is_a_function_of_its_seed():
    one, again, other = (render_record(OBJECTS[0], seed, RECORD) for seed in (3, 3, 4))
    for name in vars(one):
        assert torch.equal(getattr(one, name), getattr(again, name))
        if name not in ("target_distances", "known"):  # the same for all rendered objects
            assert not torch.equal(getattr(one, name), getattr(other, name))


def test_patterns_paint_the_same_place_in_every_view():
    """A pattern lives in space: where two targets see one point, they see one color."""
    config = replace(RECORD, pattern_probability=1.0, size=96, supersample=1, elevation_jitter=0.0)
    record = render_record(OBJECTS[1], 1, config)
    photo = record.targets[-3:].float() / 255
    angles = record.target_angles[-3:]
    cameras = Cameras.orbit(angles[:, 0], angles[:, 1], size=96)
    lower, upper = photo[:, :3].amin(1), photo[:, :3].amax(1)
    assert (upper - lower)[photo[:, 3] > 0].std() > 0.02  # it is there
    points = cameras.unproject(photo[:, 7] + 1)
    found, errors = 0, []
    for k in range(3):
        for j in range(3):
            inside = photo[k, 3] == 1
            pixel, depth = cameras[j : j + 1].project(points[k][inside][None])
            x, y = pixel[0].floor().long().clamp(0, 95).unbind(-1)
            visible = (photo[j, 7, y, x] + 1 - depth[0]).abs() < 0.006
            difference = (photo[j, :3, y, x].T - photo[k, :3][:, inside].T)[visible].abs().amax(-1)
            found += len(difference)
            errors.append(difference)
    assert found > 1000
    assert torch.cat(errors).median() < 0.02


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**40), mirror=st.booleans(), rig=st.sampled_from([0.0, 1.0]))
def test_a_batch_shows_the_object_in_the_photos_frame(store: ViewStore, seed: int, mirror: bool, rig: float):
    """Turned so that the first photo stands at azimuth 0 and, where chosen, mirrored: cameras and all."""
    batch = batch_of(store, seed, size=2, mirror_probability=float(mirror), random_rig_probability=rig)
    for k, index in enumerate(batch.index.tolist()):
        mesh, azimuths = OBJECTS[index], store.reference_parameters[index, :, 0]
        frames = [mesh.transformed(turned(float(azimuth), mirror)) for azimuth in azimuths]
        targets = [as_record(frame, batch.target_cameras[k]) for frame in frames]
        errors = torch.stack([(batch.targets[k] - target).abs().mean() for target in targets])
        first = int(errors.argmin())
        assert_alike(batch.targets[k], targets[first])
        assert batch.target_cameras.position[k, 0, 0].abs() < 1e-4  # the first view looks from where the photo does
        assert batch.target_cameras.position[k, 0, 2] > 0
        seen_through(batch.references[k], frames[first], batch.reference_cameras[k])


def test_recoloring_trades_the_same_channels_in_photos_and_views(store: ViewStore):
    plain, dyed = batch_of(store, size=16), batch_of(store, size=16, recolor_probability=1.0)
    orders = []
    for k in range(16):
        same = [
            order
            for order in permutations(range(3))
            if torch.equal(dyed.targets[k, :, :3], plain.targets[k][:, list(order)])
            and torch.equal(dyed.references[k, :, :3], plain.references[k][:, list(order)])
        ]
        assert same
        orders.append(same[0])
    assert len(set(orders)) > 2
    assert torch.equal(dyed.targets[:, :, 3:], plain.targets[:, :, 3:])
    assert torch.equal(dyed.references[:, :, 3:], plain.references[:, :, 3:])


def test_a_mirrored_batch_is_not_the_unmirrored_object(store: ViewStore):
    """Chirality: without the mirror the same pictures do not fit."""
    batch = batch_of(store, 3, size=8, mirror_probability=1.0)
    k = batch.index.tolist().index(0)  # the teapot
    azimuths = store.reference_parameters[0, :, 0].tolist()
    wrong = [as_record(OBJECTS[0].transformed(turned(a)), batch.target_cameras[k]) for a in azimuths]
    right = [as_record(OBJECTS[0].transformed(turned(a, True)), batch.target_cameras[k]) for a in azimuths]
    best = [min(float((batch.targets[k] - t).abs().mean()) for t in targets) for targets in (wrong, right)]
    assert best[0] > 10 * best[1]


def test_turning_the_object_changes_nothing_in_the_photos_frame(store: ViewStore):
    """By 90 degrees, which 8-bit normals survive exactly."""
    turned_store = ViewStore.empty(len(store), RECORD)
    for index in range(len(store)):
        targets, angles = store.targets[index].clone(), store.target_angles[index].clone()
        parameters = store.reference_parameters[index].clone()
        x, z = targets[:, 4].clone(), targets[:, 6].clone()
        targets[:, 4], targets[:, 6] = z, 255 - x
        angles[:, 0] += 90
        parameters[:, 0] += 90
        turned = replace(store.record(index), targets=targets, target_angles=angles, reference_parameters=parameters)
        turned_store.put(index, turned)
    for seed in range(4):
        one, other = batch_of(store, seed), batch_of(turned_store, seed)
        torch.testing.assert_close(one.targets, other.targets, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.target_cameras.c2w, other.target_cameras.c2w, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.reference_cameras.c2w, other.reference_cameras.c2w, atol=1e-4, rtol=0)
        assert torch.equal(one.references, other.references)
        assert torch.equal(one.photo_camera, other.photo_camera)


def test_a_batch_is_a_function_of_its_generator(store: ViewStore):
    one, again, other = (batch_of(store, seed, augment=AugmentConfig()) for seed in (5, 5, 6))
    assert torch.equal(one.targets, again.targets)
    assert torch.equal(one.references, again.references)
    assert not torch.equal(one.references, other.references)
    assert batch_of(store, second_reference_probability=0.0).references.shape[1] == 1


def test_objects_are_drawn_by_their_probabilities(store: ViewStore):
    generator = torch.Generator().manual_seed(0)
    batch = sample_batch(store, 16, generator, BatchConfig(), torch.tensor([0.0, 1.0, 0.0]))
    assert batch.index.unique().tolist() == [1]


def test_warped_meshes_keep_all_that_they_are():
    mesh = OBJECTS[0]
    uv, texture = torch.rand(len(mesh), 3, 2), torch.rand(3, 8, 8)
    textured = replace(mesh, colors=None, uv=uv, texture=texture, attributes={"weight": torch.rand(len(mesh.vertices))})
    dyed = 0
    for seed in range(10):
        warped, again = warp_mesh(textured, SeededRandom(seed)), warp_mesh(mesh, SeededRandom(seed))
        assert torch.equal(warped.vertices, again.vertices)
        assert torch.equal(warped.uv, uv)
        assert torch.equal(warped.attributes["weight"], textured.attributes["weight"])
        assert warped.vertices.norm(dim=-1).amax() == pytest.approx(0.5, abs=1e-5)
        dyed += not torch.equal(warped.texture, texture)
        assert torch.equal(warped.texture, texture) == torch.equal(again.colors, mesh.colors)
    assert 2 < dyed < 10


def test_camera_photos_are_the_shown_one_and_more_of_the_same_object(store: ViewStore):
    alone, more = (batch_of(store, second_reference_probability=0.0, camera_photos=count) for count in (1, 3))
    assert alone.references.shape[1] == more.references.shape[1] == 1
    assert alone.camera_photos.shape[1] == 1
    count = min(3, RECORD.references)
    assert more.camera_photos.shape[1] == more.photo_camera.shape[1] == count
    assert torch.equal(more.camera_photos[:, 0], more.references[:, 0])
    # Up to the mirror, each photo's own parameters as the store has them.
    known = store.reference_parameters[more.index][..., [1, 4]]
    for photo in range(count):
        own = more.photo_camera[:, photo, None][..., [0, 3]]
        assert (own - known).abs().sum(-1).amin(-1).max() < 1e-6
