"""save_glb: structure as glTF 2.0 demands it, and a surface that is whole again once merged by position."""

import io
import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from recon.core.conventions import srgb_to_linear
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import load_mesh
from recon.io.meshes.glb import glb_bytes, save_glb, uncertainty_colors
from recon.io.meshes.seams import crease_normals, split

_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TYPES = {5126: np.float32, 5125: np.uint32, 5123: np.uint16}


def _from_trimesh(mesh) -> TexturedMesh:
    return TexturedMesh.from_arrays(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def sphere() -> TexturedMesh:
    mesh = _from_trimesh(trimesh.creation.icosphere(3, radius=0.5))
    return replace(mesh, colors=mesh.vertices + 0.5, attributes={"uncertainty": mesh.vertices[:, 1] + 0.5})


def textured_box() -> TexturedMesh:
    """Every face of the box shows the whole texture, so every edge is a seam."""
    mesh = _from_trimesh(trimesh.creation.box((0.4, 0.6, 0.8)))
    corners = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    return replace(mesh, uv=corners.expand(len(mesh), 3, 2).clone(), texture=torch.rand(3, 16, 32))


class Glb:
    """A file taken apart by hand."""

    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        assert size % 4 == 0
        self.json = json.loads(data[20 : 20 + size])
        binary_size, kind = struct.unpack_from("<I4s", data, 20 + size)
        assert kind == b"BIN\0"
        assert 28 + size + binary_size == len(data)
        self.binary = data[28 + size :]

    def view(self, index: int) -> bytes:
        view = self.json["bufferViews"][index]
        return self.binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    def accessor(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        values = np.frombuffer(self.view(accessor["bufferView"]), _TYPES[accessor["componentType"]])
        columns = _SIZES[accessor["type"]]
        assert len(values) == accessor["count"] * columns
        return values.reshape(-1, columns) if columns > 1 else values

    @property
    def primitive(self) -> dict:
        return self.json["meshes"][0]["primitives"][0]

    def attribute(self, name: str) -> np.ndarray:
        return self.accessor(self.primitive["attributes"][name])


@pytest.mark.parametrize(
    "mesh", [sphere(), textured_box(), replace(textured_box(), attributes={"uncertainty": torch.rand(8)})]
)
def test_structure(mesh):
    glb = Glb(glb_bytes(mesh))
    assert glb.json["buffers"] == [{"byteLength": len(glb.binary)}]
    assert glb.json["asset"]["version"] == "2.0"
    assert glb.json["asset"]["generator"].startswith("mvdiff")
    end = 0
    for view in glb.json["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] >= end
        end = view["byteOffset"] + view["byteLength"]
    assert end <= len(glb.binary)
    position, count = glb.attribute("POSITION"), len(glb.attribute("POSITION"))
    bounds = glb.json["accessors"][glb.primitive["attributes"]["POSITION"]]
    assert np.array_equal(np.float32(bounds["min"]), position.min(0))
    assert np.array_equal(np.float32(bounds["max"]), position.max(0))
    assert all(len(glb.attribute(name)) == count for name in glb.primitive["attributes"])
    assert np.abs(np.linalg.norm(glb.attribute("NORMAL"), axis=1) - 1).max() < 1e-5
    indices = glb.accessor(glb.primitive["indices"])
    assert len(indices) == 3 * len(mesh)
    assert indices.max() == count - 1
    assert not any(material["doubleSided"] for material in glb.json["materials"])
    for texture in glb.json.get("textures", []):
        assert texture["source"] < len(glb.json["images"])
        assert texture["sampler"] < len(glb.json["samplers"])


@pytest.mark.parametrize("mesh", [sphere(), textured_box()])
def test_merged_by_position_it_is_watertight(tmp_path, mesh):
    scene = trimesh.load_scene(save_glb(mesh, tmp_path / "m.glb"), process=False)
    (geometry,) = scene.geometry.values()
    geometry.merge_vertices(merge_tex=True, merge_norm=True)
    assert geometry.is_watertight
    assert geometry.is_winding_consistent
    assert len(geometry.vertices) == len(mesh.vertices)
    assert geometry.volume == pytest.approx(mesh.to_trimesh().volume, rel=1e-5)


def test_only_seams_and_creases_split():
    assert len(split(replace(sphere(), colors=None)).positions) == len(sphere().vertices)
    box = textured_box()
    assert len(split(replace(box, uv=None)).positions) == 24
    assert len(split(replace(box, uv=None), crease_angle=91).positions) == 8
    uv = sphere().vertices[sphere().faces][..., :2] + 0.5  # continuous: no seam anywhere
    assert len(split(replace(sphere(), uv=uv)).positions) == len(sphere().vertices)


def test_crease_normals():
    box = textured_box()
    vertices, faces = box.vertices.double().numpy(), box.faces.numpy()
    group, normals = crease_normals(vertices, faces, 40.0)
    assert np.allclose(normals[group].reshape(-1, 3, 3), box.face_normals().numpy()[:, None], atol=1e-6)
    group, normals = crease_normals(vertices, faces, 91.0)
    radial = np.sign(vertices[faces.reshape(-1)]) / np.sqrt(3)  # angle weighting: by symmetry the diagonal
    assert np.allclose(normals[group], radial, atol=1e-6)


def test_vertex_colors_are_linear_and_textures_srgb():
    glb = Glb(glb_bytes(sphere()))
    position = torch.from_numpy(glb.attribute("POSITION").copy())
    assert np.allclose(glb.attribute("COLOR_0"), srgb_to_linear(position + 0.5), atol=1e-6)
    box = textured_box()
    glb = Glb(glb_bytes(replace(box, colors=torch.zeros(8, 3))))
    assert "COLOR_0" not in glb.primitive["attributes"]  # it would multiply the texture
    image = Image.open(io.BytesIO(glb.view(glb.json["images"][0]["bufferView"])))
    assert np.abs(np.asarray(image) / 255 - box.texture.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    "mesh", [sphere(), replace(textured_box(), attributes={"uncertainty": torch.linspace(0, 2, 8)})]
)
def test_uncertainty_is_a_second_look(mesh):
    glb = Glb(glb_bytes(mesh, extras={"seed": 7}))
    assert glb.json["extensionsUsed"] == ["KHR_materials_variants"]
    mappings = glb.primitive["extensions"]["KHR_materials_variants"]["mappings"]
    names = [variant["name"] for variant in glb.json["extensions"]["KHR_materials_variants"]["variants"]]
    assert {names[m["variants"][0]]: m["material"] for m in mappings} == {"appearance": 0, "uncertainty": 1}
    assert glb.primitive["material"] == 0
    extras = glb.json["scenes"][0]["extras"]
    assert extras["seed"] == 7
    # What a viewer looks up is the ramp's color of the value.
    look = glb.json["materials"][1]
    emitted = "emissiveTexture" in look
    assert emitted == ("COLOR_0" in glb.primitive["attributes"])
    texture = look["emissiveTexture"] if emitted else look["pbrMetallicRoughness"]["baseColorTexture"]
    uv = glb.attribute(f"TEXCOORD_{texture.get('texCoord', 0)}")
    source = glb.json["textures"][texture["index"]]["source"]
    ramp = np.asarray(Image.open(io.BytesIO(glb.view(glb.json["images"][source]["bufferView"]))))
    assert np.array_equal(ramp[0], uncertainty_colors())
    texel = np.floor(uv[:, 0] * 256).astype(int).clip(0, 255)
    expected = np.clip(glb.attribute("_UNCERTAINTY") / extras["uncertainty_range"][1], 0, 1) * 255
    assert np.abs(texel - expected).max() <= 1


def test_round_trip_keeps_colors_and_chirality(tmp_path):
    """A shape with no symmetry: a box, a knob on +X, a smaller one on +Y; red grows with x."""
    parts = [
        trimesh.creation.box((0.4, 0.4, 0.4)),
        trimesh.creation.icosphere(2, 0.1),
        trimesh.creation.icosphere(2, 0.05),
    ]
    parts[1].apply_translation((0.4, 0, 0))
    parts[2].apply_translation((0, 0.4, 0.1))
    mesh = _from_trimesh(trimesh.util.concatenate(parts))
    mesh = replace(mesh, colors=torch.cat([mesh.vertices[:, :1] + 0.3, torch.full((len(mesh.vertices), 2), 0.02)], 1))
    loaded = load_mesh(save_glb(mesh, tmp_path / "m.glb"))
    assert len(loaded.vertices) == len(mesh.vertices)
    assert len(loaded) == len(mesh)
    assert torch.allclose(loaded.bounds[1], mesh.bounds[1])
    assert torch.allclose(loaded.bounds[0], mesh.bounds[0])
    order, original = _sorted(loaded), _sorted(mesh)
    assert torch.allclose(loaded.vertices[order], mesh.vertices[original])
    assert torch.allclose(loaded.colors[order], mesh.colors[original], atol=1e-4)
    assert loaded.to_trimesh().volume == pytest.approx(mesh.to_trimesh().volume, rel=1e-4)


def _sorted(mesh: TexturedMesh) -> torch.Tensor:
    return torch.from_numpy(np.lexsort(np.round(mesh.vertices.numpy(), 5).T))


def test_jpeg_texture():
    box = replace(textured_box(), texture=torch.full((3, 16, 16), 0.5))
    glb = Glb(glb_bytes(box, texture_format="jpeg"))
    assert glb.json["images"][0]["mimeType"] == "image/jpeg"
    assert Image.open(io.BytesIO(glb.view(glb.json["images"][0]["bufferView"]))).format == "JPEG"


def test_degenerate_faces_are_left_out_and_normals_stay_unit():
    mesh = sphere()
    faces = torch.cat([mesh.faces, torch.tensor([[0, 0, 1], [2, 3, 2]])])
    vertices = torch.cat([mesh.vertices, mesh.vertices[:1], mesh.vertices[:1], mesh.vertices[:1]])
    flat = torch.tensor([[len(mesh.vertices), len(mesh.vertices) + 1, len(mesh.vertices) + 2]])
    glb = Glb(glb_bytes(TexturedMesh(vertices, torch.cat([faces, flat]))))
    assert len(glb.accessor(glb.primitive["indices"])) == 3 * (len(mesh) + 1)
    assert np.allclose(np.linalg.norm(glb.attribute("NORMAL"), axis=1), 1, atol=1e-5)


def test_many_vertices_need_32_bit_indices():
    mesh = _from_trimesh(trimesh.creation.icosphere(7))
    assert len(mesh.vertices) > 65535
    glb = Glb(glb_bytes(mesh))
    assert glb.accessor(glb.primitive["indices"]).dtype == np.uint32


def test_bad_meshes(tmp_path):
    empty = TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    nan = replace(sphere(), vertices=sphere().vertices * float("nan"))
    wrong = replace(sphere(), attributes={"uncertainty": torch.zeros(3)})
    only_degenerate = TexturedMesh(torch.rand(3, 3), torch.tensor([[0, 1, 1]]))
    for mesh, words in (
        (empty, "without faces"),
        (nan, "NaN"),
        (wrong, "per vertex"),
        (only_degenerate, "without faces"),
    ):
        with pytest.raises(InputError, match=words):
            save_glb(mesh, tmp_path / "m.glb")
    assert not list(tmp_path.iterdir())


def test_attributes_of_several_numbers_are_scalars_in_the_file_and_whole_again_when_read(tmp_path):
    values = {"uncertainty": torch.rand(8), "interval": torch.rand(8, 2), "color_low": torch.rand(8, 3)}
    box = replace(textured_box(), attributes=values)
    glb = Glb(glb_bytes(box))
    custom = {name: glb.attribute(name) for name in glb.primitive["attributes"] if name.startswith("_")}
    scalars = {"_UNCERTAINTY", *(f"_INTERVAL_{k}" for k in range(2)), *(f"_COLOR_LOW_{k}" for k in range(3))}
    assert set(custom) == scalars
    assert all(column.ndim == 1 for column in custom.values())
    read = load_mesh(save_glb(box, tmp_path / "box.glb")).attributes
    sizes = {name: tuple(value.shape[1:]) for name, value in read.items()}
    assert sizes == {"uncertainty": (), "interval": (2,), "color_low": (3,)}
    for column, total in enumerate(read["interval"].amax(0)):
        assert float(total) == pytest.approx(float(values["interval"][:, column].max()), abs=1e-6)
