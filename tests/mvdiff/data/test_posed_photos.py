"""Photo sets become the records that a mesh of the same object would give."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mvdiff.cli.main import main
from mvdiff.data.procedural import make
from mvdiff.data.render.record import RecordConfig, reference_cameras, target_cameras
from mvdiff.data.sources.posed_photos import photo_record, upright
from mvdiff.data.stores.store import ViewStore
from recon.core.bounding import BoundingSphere
from recon.core.cameras import Cameras
from recon.core.conventions import world_rotation
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.io.views import transforms_json
from recon.rendering.mesh_renderer import render_mesh

CONFIG = RecordConfig(size=64, ring_views=6, references=3)
SCALE, SHIFT = 3.0, torch.tensor([5.0, -2.0, 1.0])


@pytest.fixture(scope="module")
def mesh() -> TexturedMesh:
    """An asymmetric object."""
    return make(3, "mug").mesh


@pytest.fixture(scope="module")
def photos(mesh: TexturedMesh) -> ViewSet:
    """As somebody else takes them: z-up, elsewhere, larger, rolled, off center, with another lens."""
    count = 14
    generator = torch.Generator().manual_seed(0)
    azimuth = torch.arange(count) * (360 / count)
    elevation, distance = 10 + 25 * torch.rand(count, generator=generator), 1.6 + torch.rand(count, generator=generator)
    cameras = Cameras.orbit(azimuth, elevation, distance, fov=50, size=(160, 144))
    roll = 0.3 * torch.randn(count, generator=generator)
    turn = torch.eye(4).repeat(count, 1, 1)
    turn[:, 0, 0], turn[:, 0, 1] = roll.cos(), -roll.sin()
    turn[:, 1, 0], turn[:, 1, 1] = roll.sin(), roll.cos()
    tilt = torch.eye(4).repeat(count, 1, 1)
    angle = 0.05 * torch.randn(count, generator=generator)
    tilt[:, 0, 0], tilt[:, 0, 2] = angle.cos(), angle.sin()
    tilt[:, 2, 0], tilt[:, 2, 2] = -angle.sin(), angle.cos()
    cameras = replace(cameras, c2w=cameras.c2w @ turn @ tilt)
    views = render_mesh(mesh, cameras, supersample=2)
    to_z_up = world_rotation("z_up").T
    c2w = to_z_up @ views.cameras.c2w
    c2w[..., :3, 3] = c2w[..., :3, 3] * SCALE + SHIFT
    normal = torch.einsum("ij,nvjhw->nvihw", to_z_up[:3, :3], views.normal)
    return replace(views, cameras=replace(views.cameras, c2w=c2w), normal=normal, depth=views.depth * SCALE)


@pytest.fixture(scope="module")
def in_unit(mesh: TexturedMesh, photos: ViewSet) -> TexturedMesh:
    """The mesh where the record's world has it: by the sphere that the silhouettes gave."""
    rotation = world_rotation("z_up")
    cameras = replace(photos.cameras, c2w=rotation @ photos.cameras.c2w)
    sphere = BoundingSphere.of_views(replace(photos, cameras=cameras))
    placed = torch.eye(4)
    placed[:3, :3] *= SCALE
    placed[:3, 3] = rotation[:3, :3] @ SHIFT
    matrix = torch.eye(4)
    scale = 0.5 / (sphere.radius * 1.03)
    matrix[:3, :3] *= scale
    matrix[:3, 3] = -sphere.center * scale
    return mesh.transformed(matrix @ placed)


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((torch.minimum(one, other).sum((-1, -2)) / torch.maximum(one, other).sum((-1, -2))).min())


def test_records_show_the_object_as_its_mesh_would(photos: ViewSet, in_unit: TexturedMesh):
    record = photo_record(upright(photos, "z_up"), 0, CONFIG)
    assert record.known.all()
    cameras = target_cameras(record.target_angles, record.target_distances, CONFIG.size)
    truth = render_mesh(in_unit, cameras, supersample=2)
    seen = record.targets.float() / 255
    assert overlap(seen[:, 3], truth.alpha[0, :, 0]) > 0.93
    solid = (seen[:, 3] > 0.99) & (truth.alpha[0, :, 0] > 0.99)
    assert (seen[:, :3] - truth.rgb[0]).abs().mean(1)[solid].mean() < 0.03
    cosine = ((seen[:, 4:7] * 2 - 1) * truth.normal[0]).sum(1)[solid]
    assert cosine.mean() > 0.97
    depth = seen[:, 7] - 0.5 + record.target_distances[:, None, None]
    assert (depth - truth.depth[0, :, 0]).abs()[solid].median() < 0.01

    through = reference_cameras(record.reference_parameters).cameras(CONFIG.size)
    truth = render_mesh(in_unit, through, supersample=2)
    seen = record.references.float() / 255
    assert overlap(seen[:, 3], truth.alpha[0, :, 0]) > 0.93
    for picture in seen[:, 3]:  # framed as a prepared photo is: the larger side fills 1 / 1.15
        box = (picture > 0.5).nonzero()
        assert float((box.amax(0) - box.amin(0) + 1).max()) == pytest.approx(64 / 1.15, abs=2)


def test_default_distance_is_the_default_lens():
    cameras = target_cameras(torch.tensor([[30.0, 20.0]]), torch.tensor([1.5]), 64)
    torch.testing.assert_close(cameras.intrinsics, Cameras.orbit([30.0], 20.0, size=64).intrinsics)
    far = target_cameras(torch.tensor([[0.0, 0.0]]), torch.tensor([4.0]), 64)
    edge = far.project(0.5 * torch.tensor([[[math.cos(a), math.sin(a), 0.0] for a in (0.0, 1.57, 3.14)]]))[0]
    assert float((edge - 32).norm(dim=-1).max()) < 32


def test_what_photos_do_not_show_is_unknown_and_trains_nothing(photos: ViewSet):
    record = photo_record(upright(replace(photos, normal=None, depth=None), "z_up"), 0, CONFIG)
    assert record.known.tolist() == [True] * 4 + [False] * 4
    assert record.targets[:, 4:].sum() == 0


def test_the_command_makes_a_set_that_training_reads(photos: ViewSet, tmp_path: Path, capsys):
    for name in ("cup", "jug"):
        transforms_json.save(photos, tmp_path / name)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "transforms.json").write_text("{}")
    places = [str(tmp_path / name) for name in ("cup", "bad", "jug")]
    sizes = ["--size", "32", "--ring-views", "6", "--references", "2", "--variants", "2"]
    assert main(["data", "import", *places, str(tmp_path / "views"), *sizes, "--licence", "CC0-1.0"]) == 0
    said = capsys.readouterr().out
    assert "skipped bad: " in said
    assert "4 objects, 1 skipped" in said
    store = ViewStore.load(tmp_path / "views")
    assert store.names == ["cup", "cup", "jug", "jug"]
    assert not store.known[:, 4:].any()
    assert main(["data", "check", str(tmp_path / "views"), "--output-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "CC0-1.0" in said
    assert [line.split() for line in said.splitlines() if line.startswith("without")] == [
        ["without", "4", "normal"],
        ["without", "4", "depth"],
    ]
    assert main(["data", "import", places[0], str(tmp_path / "views")]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_sets_that_cannot_be_used_are_refused(photos: ViewSet):
    with pytest.raises(InputError, match="6 views"):
        upright(photos.select_views(slice(0, 5)), "z_up")
    inside = replace(photos.cameras, c2w=photos.cameras.c2w.clone())
    inside.c2w[:, 0, :3, 3] = SHIFT
    with pytest.raises(InputError, match="inside"):
        photo_record(upright(replace(photos, cameras=inside), "z_up"), 0, CONFIG)
