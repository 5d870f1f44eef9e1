"""load_mesh and save_mesh: what other programs write becomes one mesh, and what we write they read."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from recon.core.conventions import linear_to_srgb
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.atlas import vertex_colors
from recon.io.meshes.files import load_mesh, save_mesh


def _quadrants() -> np.ndarray:
    """Texture of four flat colors: red green / blue white."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32, 0] = picture[:32, 32:, 1] = picture[32:, :32, 2] = picture[32:, 32:] = 255
    return picture


def _textured_sphere(picture: np.ndarray, scale: float = 1.0, **kwargs) -> trimesh.Trimesh:
    """Texture projected along z, so that upper left in the picture is −x, +y."""
    mesh = trimesh.creation.icosphere(3, radius=0.5)
    uv = (mesh.vertices[:, :2] + 0.5) * scale  # trimesh counts v from the lower edge
    mesh.visual = TextureVisuals(uv, material=PBRMaterial(baseColorTexture=Image.fromarray(picture), **kwargs))
    return mesh


def _color_at(mesh: TexturedMesh, point) -> np.ndarray:
    nearest = (mesh.vertices - torch.tensor(point)).norm(dim=1).argmin()
    return vertex_colors(mesh)[nearest]


def _assert_quadrants(mesh: TexturedMesh) -> None:
    for x, y, color in [
        (-0.25, 0.25, (1, 0, 0)),
        (0.25, 0.25, (0, 1, 0)),
        (-0.25, -0.25, (0, 0, 1)),
        (0.25, -0.25, (1, 1, 1)),
    ]:
        assert np.allclose(_color_at(mesh, [x, y, 0.35]), color, atol=0.02)


def test_textured_glb_of_trimesh(tmp_path):
    _textured_sphere(_quadrants()).export(tmp_path / "m.glb")
    mesh = load_mesh(tmp_path / "m.glb")
    assert mesh.to_trimesh().is_watertight
    assert mesh.texture.shape == (3, 64, 64)
    _assert_quadrants(mesh)


def test_names_of_gltf_textures_are_addresses(tmp_path):
    """A space in a file's name is written %20, as the format says."""
    mesh = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    paint = PBRMaterial(baseColorTexture=Image.new("RGB", (2, 2), (200, 30, 20)))
    mesh.visual = TextureVisuals([[0, 0], [1, 0], [0, 1]], material=paint)
    for name, data in trimesh.exchange.gltf.export_gltf(trimesh.Scene(mesh)).items():
        (tmp_path / name).write_bytes(data)
    content = json.loads((tmp_path / "model.gltf").read_text())
    del content["images"][0]["bufferView"], content["images"][0]["mimeType"]
    for written, stored in (("base%20(colour).png", "base (colour).png"), ("100%.png", "100%.png")):
        content["images"][0]["uri"] = written
        Image.new("RGB", (2, 2), (200, 30, 20)).save(tmp_path / stored)
        (tmp_path / "model.gltf").write_text(json.dumps(content))
        found = load_mesh(tmp_path / "model.gltf")
        assert (255 * found.texture.flatten(1).mean(1)).tolist() == pytest.approx([200, 30, 20], abs=1)
        (tmp_path / stored).unlink()


@pytest.mark.parametrize("format", ["glb", "obj", "ply"])
def test_textured_round_trips(tmp_path, format):
    _textured_sphere(_quadrants()).export(tmp_path / "source.glb")
    source = load_mesh(tmp_path / "source.glb")
    path = save_mesh(source, tmp_path / f"m.{format}")
    mesh = load_mesh(path)
    assert (len(mesh.vertices), len(mesh)) == (len(source.vertices), len(source))
    assert mesh.to_trimesh().volume == pytest.approx(source.to_trimesh().volume, rel=1e-4)
    assert (mesh.texture is None) == (format == "ply")
    _assert_quadrants(mesh)


@pytest.mark.parametrize("format", ["glb", "obj", "ply"])
def test_vertex_color_round_trips(tmp_path, format):
    sphere = trimesh.creation.icosphere(2, radius=0.5)
    mesh = TexturedMesh.from_arrays(sphere.vertices, sphere.faces, sphere.vertices + 0.5)
    loaded = load_mesh(save_mesh(mesh, tmp_path / f"m.{format}"))
    assert len(loaded.vertices) == len(mesh.vertices)
    for vertex in range(0, len(mesh.vertices), 17):
        assert np.allclose(_color_at(loaded, mesh.vertices[vertex].tolist()), mesh.colors[vertex], atol=1 / 255)


def test_ply_keeps_scalar_attributes(tmp_path):
    sphere = trimesh.creation.icosphere(1)
    mesh = replace(TexturedMesh.from_arrays(sphere.vertices, sphere.faces), attributes={"uncertainty": torch.rand(42)})
    raw = trimesh.load(save_mesh(mesh, tmp_path / "m.ply"), process=False).metadata["_ply_raw"]["vertex"]["data"]
    assert np.allclose(raw["uncertainty"].reshape(-1), mesh.attributes["uncertainty"])


def test_glb_attributes_come_back(tmp_path):
    sphere = trimesh.creation.icosphere(1)
    mesh = TexturedMesh.from_arrays(sphere.vertices, sphere.faces)
    mesh = replace(mesh, attributes={"uncertainty": mesh.vertices[:, 0] + 2})
    loaded = load_mesh(save_mesh(mesh, tmp_path / "m.glb"))
    assert torch.allclose(loaded.attributes["uncertainty"], loaded.vertices[:, 0] + 2)


def test_stl_is_joined_to_a_watertight_surface(tmp_path):
    trimesh.creation.icosphere(2).export(tmp_path / "m.stl")
    mesh = load_mesh(tmp_path / "m.stl")
    assert len(mesh.vertices) == 162
    assert mesh.to_trimesh().is_watertight
    assert mesh.colors is None


def test_scene_transforms_and_mirroring(tmp_path):
    scene = trimesh.Scene()
    mirrored = np.diag([-1.0, 1, 1, 1])
    mirrored[0, 3] = 3
    scene.add_geometry(trimesh.creation.box((1, 1, 1)), geom_name="box")
    scene.graph.update(frame_to="twin", matrix=mirrored, geometry="box")
    scene.export(tmp_path / "m.glb")
    mesh = load_mesh(tmp_path / "m.glb")
    assert mesh.bounds[1][0] == pytest.approx(3.5)
    assert mesh.to_trimesh().volume == pytest.approx(2.0)  # a face turned inside out would cancel


def test_several_textures_become_one_atlas(tmp_path):
    left, right = _textured_sphere(_quadrants()), _textured_sphere(np.full((16, 16, 3), (200, 100, 50), np.uint8))
    plain = trimesh.creation.icosphere(2, 0.5)
    plain.visual = TextureVisuals(material=PBRMaterial(baseColorFactor=[0.0, 0.5, 0.0, 1.0]))
    right.apply_translation((2, 0, 0))
    plain.apply_translation((4, 0, 0))
    trimesh.Scene([left, right, plain]).export(tmp_path / "m.glb")
    mesh = load_mesh(tmp_path / "m.glb")
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1
    _assert_quadrants(mesh)
    assert np.allclose(_color_at(mesh, [2.0, 0, 0.5]), np.array([200, 100, 50]) / 255, atol=0.02)
    green = linear_to_srgb(torch.tensor(0.5)).item()
    assert np.allclose(_color_at(mesh, [4.0, 0, 0.5]), [0, green, 0], atol=0.02)


def test_repeating_textures_are_written_out(tmp_path):
    """Twice over the sphere: each quarter shows the whole picture; faces across the border need its repetition."""
    _textured_sphere(_quadrants(), scale=2.0).export(tmp_path / "m.glb")
    mesh = load_mesh(tmp_path / "m.glb")
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1
    for x, y, color in [
        (-0.375, 0.12, (0, 0, 1)),
        (0.12, 0.12, (0, 0, 1)),
        (0.12, 0.375, (1, 0, 0)),
        (-0.12, 0.375, (0, 1, 0)),
    ]:
        assert np.allclose(_color_at(mesh, [x, y, (0.25 - x * x - y * y) ** 0.5]), color, atol=0.35)


def test_base_color_factor_multiplies_in_linear_light(tmp_path):
    white = np.full((8, 8, 3), 255, np.uint8)
    _textured_sphere(white, baseColorFactor=[0.5, 0.5, 0.5, 1.0]).export(tmp_path / "m.glb")
    expected = linear_to_srgb(torch.tensor(0.5)).item()
    assert np.allclose(_color_at(load_mesh(tmp_path / "m.glb"), [0.0, 0, 0.5]), expected, atol=0.01)


def test_obj_material_color_is_taken_as_seen(tmp_path):
    mesh = trimesh.creation.box()
    mesh.visual = TextureVisuals(uv=np.zeros((8, 2)), material=SimpleMaterial(diffuse=[200, 100, 50, 255]))
    mesh.export(tmp_path / "m.obj")
    assert np.allclose(
        _color_at(load_mesh(tmp_path / "m.obj"), [0.5, 0.5, 0.5]), np.array([200, 100, 50]) / 255, atol=0.01
    )


def test_face_colors_stay_sharp(tmp_path):
    mesh = trimesh.creation.box()
    mesh.visual.face_colors = np.repeat([[255, 0, 0, 255], [0, 0, 255, 255]], 6, 0)
    mesh.export(tmp_path / "m.ply")
    loaded = load_mesh(tmp_path / "m.ply")
    assert set(map(tuple, loaded.colors.numpy().round(2).tolist())) == {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.xyz", b"1 2 3", "no mesh that can be read"),
        ("m.glb", b"", "cannot be read"),
        ("m.glb", b"glTF" + b"\0" * 40, "cannot be read|no triangles"),
        ("m.gltf", b"{", "cannot be read"),
        ("m.obj", b"hello\n", "no triangles|cannot be read"),
        ("m.ply", b"ply\nformat ascii 1.0\n", "m.ply"),
        ("m.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "NaN|cannot be read"),
        ("m.obj", b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n", "no surface"),
    ],
)
def test_bad_files(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        load_mesh(tmp_path / name)


def test_missing_and_unknown(tmp_path):
    with pytest.raises(InputError, match="no file"):
        load_mesh(tmp_path / "m.glb")
    with pytest.raises(InputError, match="choose glb, ply, obj"):
        save_mesh(TexturedMesh.from_arrays(np.eye(3), np.array([[0, 1, 2]])), tmp_path / "m.fbx")


def _bytes(format: str) -> bytes:
    mesh = trimesh.creation.icosphere(1)
    return mesh.export(file_type=format) if format != "obj" else mesh.export(file_type="obj").encode()


_FILES = {format: _bytes(format) for format in ("glb", "ply", "stl", "obj")}


@settings(max_examples=60, deadline=None)
@given(
    format=st.sampled_from(sorted(_FILES)),
    cut=st.floats(0, 1),
    edits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_damaged_files_give_a_mesh_or_an_input_error(tmp_path_factory, format, cut, edits):
    data = bytearray(_FILES[format][: max(1, round(len(_FILES[format]) * min(1, 2 * cut)))])
    for position, value in edits:
        data[int(position * len(data))] = value
    path = tmp_path_factory.getbasetemp() / f"fuzz.{format}"
    path.write_bytes(bytes(data))
    mesh = _load_or_none(path)
    assert mesh is None or (mesh.faces.max() < len(mesh.vertices) and torch.isfinite(mesh.vertices).all())


def _load_or_none(path) -> TexturedMesh | None:
    try:
        return load_mesh(path)
    except InputError:
        return None
