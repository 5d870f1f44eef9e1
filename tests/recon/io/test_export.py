"""What other programs get: the same surface, colors and numbers in each format."""

import errno
from dataclasses import replace

import numpy as np
import pytest
import torch

from recon import TexturedMesh
from recon.core.conventions import linear_to_srgb
from recon.core.errors import InputError
from recon.io.export import FORMATS, export, files_of, format_of
from recon.io.meshes.files import load_mesh
from recon.io.points import PointSamples
from recon.metrics.shape import nearest


@pytest.fixture(scope="module")
def block() -> TexturedMesh:
    """1 wide, 2 high, 0.5 deep, off center; red to the right, green upwards; textured by position."""
    import trimesh

    made = trimesh.creation.box(bounds=[(-0.2, 0, 0), (0.8, 2, 0.5)]).subdivide().subdivide()
    mesh = TexturedMesh.from_arrays(made.vertices, made.faces)
    across = ((torch.arange(64) + 0.5) / 64 - 0.1) / 0.8  # the picture's margin is free
    texture = torch.stack([across.expand(64, 64), (1 - across)[:, None].expand(64, 64), torch.full((64, 64), 0.25)])
    texture = texture.clamp(0, 1)
    uv = 0.1 + 0.8 * torch.stack([mesh.vertices[:, 0] + 0.2, 1 - mesh.vertices[:, 1] / 2], -1)[mesh.faces]
    return replace(mesh, uv=uv, texture=texture, attributes={"uncertainty": mesh.vertices[:, 1].clone()})


def expected_color(points: torch.Tensor) -> torch.Tensor:
    return torch.stack([points[:, 0] + 0.2, points[:, 1] / 2, torch.full_like(points[:, 0], 0.25)], -1)


def read_ply(path) -> np.ndarray:
    """Vertices by the header alone, independent of our writer."""
    data = path.read_bytes()
    head, body = data.split(b"end_header\n", 1)
    kinds, count = [], 0
    for line in head.decode().splitlines():
        words = line.split()
        if words[:2] == ["element", "vertex"]:
            count = int(words[2])
        if words[0] == "property" and words[1] != "list":
            kinds.append((words[2], {"float": "<f4", "uchar": "u1"}[words[1]]))
    return np.frombuffer(body, dtype=kinds, count=count)


def stacked(table: np.ndarray, *names: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([table[name].astype(np.float32) for name in names], -1))


@pytest.mark.parametrize("name", ["glb", "obj"])
def test_meshes_come_back_with_their_texture(block, tmp_path, name):
    path = tmp_path / f"block.{name}"
    export(block, path, name)
    assert sorted(tmp_path.iterdir()) == sorted(files_of(block, path, name))
    back = load_mesh(path)
    assert torch.allclose(torch.stack(back.bounds), torch.stack(block.bounds), atol=1e-5)
    points = PointSamples.of(back, 500)
    assert (points.color - expected_color(points.position)).abs().max() < 0.03


def test_ply_has_colors_and_scalars(block, tmp_path):
    table = read_ply(export(block, tmp_path / "a.ply", "ply"))
    place = stacked(table, "x", "y", "z")
    assert torch.equal(place, block.vertices)
    assert np.allclose(table["uncertainty"], place[:, 1])
    assert (stacked(table, "red", "green", "blue") / 255 - expected_color(place)).abs().max() < 0.03


def test_points_lie_evenly_on_the_surface(block, tmp_path):
    table = read_ply(export(block, tmp_path / "a.ply", "points", points=3000))
    place, normal = stacked(table, "x", "y", "z"), stacked(table, "nx", "ny", "nz")
    assert len(table) == 3000
    assert (stacked(table, "red", "green", "blue") / 255 - expected_color(place)).abs().max() < 0.03
    assert torch.allclose(normal.norm(dim=-1), torch.ones(3000), atol=1e-4)
    top = place[:, 1] > 1.999
    assert float(top.float().mean()) == pytest.approx(0.5 / (2 * (0.5 + 1 + 2)), rel=0.03)
    assert normal[top & (place[:, 0].sub(0.3).abs() < 0.2) & (place[:, 2].sub(0.25).abs() < 0.05), 1].min() > 0.99
    assert float(nearest(place, place[::2])[0].max()) < 0.3


def test_splats_are_discs_along_the_surface(block, tmp_path):
    table = read_ply(export(block, tmp_path / "a.ply", "splats", points=4000))
    assert table.dtype.names == (
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{i}" for i in range(45)),
        "opacity",
        *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    )
    place, normal = stacked(table, "x", "y", "z"), stacked(table, "nx", "ny", "nz")
    color = 0.5 + 0.28209479177387814 * stacked(table, "f_dc_0", "f_dc_1", "f_dc_2")
    assert (color - expected_color(place)).abs().max() < 0.03
    assert (1 / (1 + np.exp(-table["opacity"])) > 0.95).all()
    w, x, y, z = stacked(table, "rot_0", "rot_1", "rot_2", "rot_3").unbind(-1)
    third = torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)
    assert ((third * normal).sum(-1).abs() > 0.999).all()  # the thin axis of each disc
    scale = stacked(table, "scale_0", "scale_1", "scale_2").exp()
    assert (scale[:, 2] < 0.1 * scale[:, 0]).all()
    spacing = (7.0 / 4000) ** 0.5
    assert 0.4 * spacing < float(scale[0, 0]) < 1.2 * spacing


@pytest.mark.parametrize(("degree", "count"), [(0, 0), (1, 9), (2, 24), (3, 45)])
def test_splats_have_room_for_harmonics(block, tmp_path, degree, count):
    table = read_ply(export(block, tmp_path / "a.ply", "splats", points=10, sh_degree=degree))
    rest = [name for name in table.dtype.names if name.startswith("f_rest_")]
    assert rest == [f"f_rest_{i}" for i in range(count)]
    assert all((table[name] == 0).all() for name in rest)


def test_grid_has_distance_density_and_color(block, tmp_path):
    with np.load(export(block, tmp_path / "a.npz", "grid", resolution=40), allow_pickle=False) as file:
        grid = {name: file[name] for name in file.files}
    axis = (np.arange(40) + 0.5) / 40 * 2 - 1
    x, y, z = (
        np.moveaxis(np.broadcast_to(axis, (40,) * 3), -1, i) * grid["extent"] + grid["centre"][i] for i in range(3)
    )
    outside = np.maximum(np.maximum(np.abs(x - 0.3) - 0.5, np.abs(y - 1) - 1), np.abs(z - 0.25) - 0.25)
    near = (np.abs(outside) < 0.1) & (np.abs(x - 0.3) < 0.4) & (np.abs(y - 1) < 0.9)
    assert np.abs(grid["sdf"] - outside)[near].mean() < 0.02
    assert (grid["density"][outside < -0.15] > 0.9 / grid["beta"]).all()
    assert (grid["density"][outside > 0.4] < 0.1).all()
    face = (np.abs(outside) < 0.04) & (np.abs(x - 0.3) < 0.3) & (np.abs(y - 1) < 0.8)
    truth = expected_color(torch.from_numpy(np.stack([x, y, z], -1)[face]))
    assert np.abs(grid["rgb"][face] / 255 - truth.numpy()).mean() < 0.04


@pytest.mark.parametrize("look", ["texture", "colors", "bare"])
def test_usdz_opens_in_openusd(block, tmp_path, look):
    pytest.importorskip("pxr", reason="needs the extra usd (usd-core)")
    from pxr import Usd, UsdGeom, UsdShade

    colors = expected_color(block.vertices).clamp(0, 1)
    mesh = block if look == "texture" else replace(block, uv=None, texture=None)
    mesh = replace(mesh, colors=colors) if look == "colors" else mesh
    stage = Usd.Stage.Open(str(export(mesh, tmp_path / "a.usdz", "usdz")))
    assert [path.name for path in tmp_path.iterdir()] == ["a.usdz"]
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    shape = UsdGeom.Mesh(stage.GetPrimAtPath("/object/surface"))
    assert np.allclose(shape.GetPointsAttr().Get(), block.vertices)
    assert len(shape.GetFaceVertexCountsAttr().Get()) == len(block)
    primvars = UsdGeom.PrimvarsAPI(shape)
    assert np.allclose(primvars.GetPrimvar("uncertainty").Get(), block.vertices[:, 1])
    material, _ = UsdShade.MaterialBindingAPI(shape).ComputeBoundMaterial()
    surface = material.ComputeSurfaceSource()[0]
    source = surface.GetInput("diffuseColor").GetConnectedSources()[0]
    if look == "texture":
        assert source[0].source.GetPath() == "/object/appearance/color"
        st = np.array(primvars.GetPrimvar("st").Get()).reshape(-1, 3, 2)
        assert np.allclose(st[..., 1], 1 - block.uv[..., 1].numpy(), atol=1e-6)
    elif look == "colors":
        linear = torch.tensor(np.array(primvars.GetPrimvar("displayColor").Get()))
        assert torch.allclose(linear_to_srgb(linear), colors, atol=1e-3)
    else:
        assert not source


def test_formats_are_found_by_name_or_suffix_and_others_are_refused(block, tmp_path):
    assert [format_of(None, tmp_path / f"a{suffix}") for suffix in (".glb", ".PLY", ".npz")] == ["glb", "ply", "grid"]
    assert format_of("splats", None) == "splats"
    with pytest.raises(InputError, match=r"add --format, one of glb, .*grid\.$"):
        format_of(None, tmp_path / "a.xyz")
    with pytest.raises(InputError, match="'fbx' is no format"):
        format_of("fbx", None)
    empty = TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3).long())
    for name in FORMATS:
        with pytest.raises(InputError):
            export(empty, tmp_path / f"empty{FORMATS[name][0]}", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["glb", "obj", "ply", "splats", "grid"])
def test_a_full_disk_leaves_what_was_there(block, tmp_path, monkeypatch, name):
    path = tmp_path / f"block{FORMATS[name][0]}"
    for each in files_of(block, path, name):
        each.write_bytes(b"before")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(InputError, match="no space left"):
            export(block, path, name, points=100, resolution=16)
    assert sorted(tmp_path.iterdir()) == before
    assert all(each.read_bytes() == b"before" for each in before)
