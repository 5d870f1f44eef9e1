"""Shapes of glTF files: skins, morphs, instances, compression, and what is refused."""

import numpy as np
import pytest
import torch
from gltf_files import (
    Gltf,
    area,
    assert_colors,
    square,
    textured_square,
)

from recon.core.errors import InputError
from recon.io.meshes.files import load_mesh
from recon.io.meshes.notes import Notes


def test_skins_stand_in_rest_pose(read) -> None:
    """The second joint is turned by a right angle and carries the upper half; the node's place is ignored."""
    gltf = Gltf()
    positions = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0], [1, 2, 0]])
    joints = np.array([[0, 1, 0, 0]] * 6, np.uint8)
    upper = np.float32([0, 0, 0, 0, 1, 1])
    weights = np.stack([1 - upper, upper, 0 * upper, 0 * upper], 1)
    back = np.eye(4, dtype=np.float32)
    back[1, 3] = -1
    inverse = np.stack([np.eye(4, dtype=np.float32), back]).transpose(0, 2, 1).reshape(2, 16)
    attributes = {"POSITION": positions, "JOINTS_0": joints, "WEIGHTS_0": weights}
    faces = np.array([[0, 1, 2], [2, 1, 3], [2, 3, 4], [4, 3, 5]], np.uint16)
    mesh = gltf.mesh({name: gltf.accessor(value) for name, value in attributes.items()}, faces)
    tip = gltf.add("nodes", {"translation": [0, 1, 0], "rotation": [0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4)]})
    root = gltf.show(children=[tip])
    gltf.add("skins", {"joints": [root, tip], "inverseBindMatrices": gltf.accessor(inverse)})
    gltf.show(mesh=mesh, skin=0, translation=[50, 0, 0])
    found = sorted(read(gltf).vertices.numpy().round(5).tolist())
    moved = [[-1, 1, 0], [-1, 2, 0]]  # (0, 2) and (1, 2) about (0, 1)
    assert found == pytest.approx(np.array(sorted([*positions[:4].tolist(), *moved])), abs=1e-5)


def test_morph_targets_stand_as_their_weights_say(read) -> None:
    gltf, (positions, _, faces) = Gltf(), square()
    lifted = np.zeros_like(positions)
    lifted[:, 2] = 2
    target = {"POSITION": gltf.accessor(lifted)}
    mesh = gltf.mesh({"POSITION": gltf.accessor(positions)}, faces, targets=[target])
    gltf.json["meshes"][mesh]["weights"] = [0.5]
    gltf.show(mesh=mesh)
    gltf.show(mesh=mesh, weights=[0.25])
    assert sorted(set(read(gltf).vertices[:, 2].tolist())) == [0.5, 1.0]


def test_instances_by_nodes_and_by_extension(read) -> None:
    gltf, (positions, _, faces) = Gltf(), square(1)
    mesh = gltf.mesh({"POSITION": gltf.accessor(positions)}, faces)
    places = np.float32([[0, 0, 0], [10, 0, 0], [0, 10, 0]])
    sizes = np.float32([[1, 1, 1], [2, 2, 2], [1, 1, 1]])
    attributes = {"TRANSLATION": gltf.accessor(places), "SCALE": gltf.accessor(sizes)}
    child = gltf.add("nodes", {"mesh": mesh, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}}})
    gltf.show(translation=[0, 0, 5], children=[child])
    gltf.show(mesh=mesh, matrix=[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, -5, 1])
    found = read(gltf)
    assert len(found) == 8
    assert area(found) == pytest.approx(4 * (1 + 4 + 1 + 1))
    assert torch.stack(found.bounds).tolist() == pytest.approx(np.array([[-1, -2, -5], [12, 11, 5]]))


def test_mirrored_nodes_keep_their_outside(read) -> None:
    gltf, (positions, _, faces) = Gltf(), square(1)
    gltf.show(mesh=gltf.mesh({"POSITION": gltf.accessor(positions)}, faces), scale=[-1, 1, 1])
    assert read(gltf).face_normals()[:, 2].tolist() == pytest.approx([1, 1])


def test_strips_fans_and_meshes_without_indices(read) -> None:
    corners = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    for mode, order in ((5, [0, 1, 2, 3]), (6, [0, 1, 3, 2]), (4, [0, 1, 2, 2, 1, 3])):
        gltf = Gltf()
        gltf.show(mesh=gltf.mesh({"POSITION": gltf.accessor(corners[order])}, None, mode=mode))
        mesh = read(gltf)
        assert area(mesh) == pytest.approx(1)
        assert mesh.face_normals()[:, 2].tolist() == pytest.approx([1, 1])


def test_what_is_not_shown_is_said_once_with_its_number(tmp_path) -> None:
    gltf = textured_square(material={"normalTexture": {"index": 0}})
    line = gltf.mesh({"POSITION": gltf.accessor(np.float32([[0, 0, 0], [1, 0, 0]]))}, None, mode=1)
    gltf.show(mesh=line)
    gltf.show(mesh=line)
    gltf.add("animations", {"channels": [], "samplers": []})
    notes = Notes()
    load_mesh(gltf.save(tmp_path / "m.glb"), notes)
    assert notes.counts == {"line primitive": 1, "normal map": 1, "animation": 1}
    with pytest.warns(UserWarning, match="not read in full") as told:
        load_mesh(tmp_path / "m.glb")
    assert [str(each.message) for each in told] == [
        f"'{tmp_path / 'm.glb'}' is not read in full: 1 normal map, 1 line primitive, 1 animation."
    ]


def test_required_extensions_are_refused_by_name(tmp_path) -> None:
    gltf = textured_square()
    gltf.json["extensionsRequired"] = ["KHR_materials_unlit", "ACME_folded_space"]
    with pytest.raises(InputError, match="requires the glTF extension ACME_folded_space, which"):
        load_mesh(gltf.save(tmp_path / "m.glb"))
    gltf.json["asset"]["version"] = "1.0"
    with pytest.raises(InputError, match=r"glTF 1\.0, only glTF 2"):
        load_mesh(gltf.save(tmp_path / "m.glb"))


def test_meshopt_is_decoded(read) -> None:
    meshopt = pytest.importorskip("meshopt", reason="needs the extra gltf")
    gltf, (positions, _, faces) = Gltf(), square()
    gltf.show(mesh=gltf.mesh({"POSITION": gltf.accessor(positions)}, faces))
    data = meshopt.encode_gltf_buffer(positions, "ATTRIBUTES")
    packed = {"buffer": 0, "byteOffset": len(gltf.binary), "byteLength": len(data), "byteStride": 12}
    gltf.binary += data
    view = gltf.json["bufferViews"][0]
    view["extensions"] = {"EXT_meshopt_compression": {**packed, "mode": "ATTRIBUTES", "count": len(positions)}}
    gltf.binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] = b"\0" * view["byteLength"]
    gltf.json["extensionsRequired"] = ["EXT_meshopt_compression"]
    mesh = read(gltf)
    assert area(mesh) == pytest.approx(4)
    assert torch.stack(mesh.bounds).tolist() == pytest.approx(np.array([[-1, -1, 0], [1, 1, 0]]))


def test_draco_is_decoded_or_its_decoder_named(read, tmp_path, monkeypatch) -> None:
    DracoPy = pytest.importorskip("DracoPy", reason="needs the extra gltf")
    gltf, (positions, uv, faces) = textured_square(), square()
    data = DracoPy.encode(positions, faces, tex_coord=uv.astype(np.float64), quantization_bits=14)
    decoded = DracoPy.decode(data)
    kinds = {"POSITION": DracoPy.AttributeType.POSITION, "TEXCOORD_0": DracoPy.AttributeType.TEX_COORD}
    ids = {name: decoded.get_attribute_by_type(kind)["unique_id"] for name, kind in kinds.items()}
    primitive = gltf.json["meshes"][0]["primitives"][0]
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": gltf.view(data), "attributes": ids}}
    for accessor in gltf.json["accessors"]:
        del accessor["bufferView"]
    gltf.json["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    assert_colors(read(gltf))
    monkeypatch.setitem(__import__("sys").modules, "DracoPy", None)
    with pytest.raises(InputError, match=r"pip install 'mvdiff\[gltf\]'\.$"):
        load_mesh(tmp_path / "m.glb")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g.json["nodes"].append({"children": [0]}) or g.json["nodes"][0].update(children=[1]), "ancestor"),
        (lambda g: g.json["accessors"][0].update(count=10**12), "too large"),
        (lambda g: g.json["accessors"][0].update(count=10**6), "beyond its buffer view"),
        (lambda g: g.json["bufferViews"][0].update(byteLength=10**9), "truncated"),
        (lambda g: g.json["scenes"][0].update(nodes=[7]), "missing nodes"),
        (lambda g: g.json["meshes"][0]["primitives"][0]["attributes"].update(POSITION=99), "no entry 99"),
    ],
)
def test_damaged_documents_are_one_sentence(tmp_path, change, words) -> None:
    gltf = textured_square()
    change(gltf)
    with pytest.raises(InputError, match=words):
        load_mesh(gltf.save(tmp_path / "m.glb"))


def test_many_instances_are_read_at_once(tmp_path) -> None:
    gltf, (positions, _, faces) = Gltf(), square(1)
    mesh = gltf.mesh({"POSITION": gltf.accessor(positions)}, faces)
    for k in range(20_000):
        gltf.show(mesh=mesh, translation=[4 * k, 0, 0])
    chain = [gltf.add("nodes", {"children": [len(gltf.json["nodes"]) + 1]}) for _ in range(5_000)]
    gltf.add("nodes", {"mesh": mesh, "translation": [0, 9, 0]})
    gltf.json["scenes"][0]["nodes"].append(chain[0])
    assert len(load_mesh(gltf.save(tmp_path / "m.glb"))) == 40_002
