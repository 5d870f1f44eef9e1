"""PLY of many programs: byte orders, names of colors and coordinates, textures by corner."""

import struct
import warnings

import pytest
import torch
from gltf_files import QUADRANTS, colors_by_quadrant, encoded, quadrants, square
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import load_mesh, save_mesh
from recon.io.meshes.ply_container import parse_ply

_KINDS = {"float": "f", "double": "d", "uchar": "B", "ushort": "H", "int": "i", "uint": "I"}


def ply(form: str, elements: list, comments: tuple[str, ...] = ()) -> bytes:
    """Elements as (name, properties, rows); a list property is (name, count kind, kind), its values are a list."""
    head = ["ply", f"format {form} 1.0", *(f"comment {text}" for text in comments)]
    body = b""
    for name, properties, rows in elements:
        head.append(f"element {name} {len(rows)}")
        head += [f"property {'list ' if len(p) == 3 else ''}{' '.join(p[1:])} {p[0]}" for p in properties]
        for row in rows:
            body += _row(form, properties, row)
    return "\n".join([*head, "end_header", ""]).encode() + body


def _row(form: str, properties: list, row: list) -> bytes:
    if form == "ascii":
        words = [[len(v), *v] if len(p) == 3 else [v] for p, v in zip(properties, row, strict=True)]
        return " ".join(str(word) for each in words for word in each).encode() + b"\n"
    order, data = "<" if "little" in form else ">", b""
    for p, value in zip(properties, row, strict=True):
        if len(p) == 3:
            data += struct.pack(f"{order}{_KINDS[p[1]]}{len(value)}{_KINDS[p[2]]}", len(value), *value)
        else:
            data += struct.pack(order + _KINDS[p[1]], value)
    return data


_FORMS = ("ascii", "binary_little_endian", "binary_big_endian")
_XYZ = [("x", "float"), ("y", "float"), ("z", "float")]
_FACE = [("vertex_indices", "uchar", "int")]


@pytest.fixture
def read(tmp_path):
    def call(data: bytes) -> TexturedMesh:
        (tmp_path / "m.ply").write_bytes(data)
        (tmp_path / "tex.png").write_bytes(encoded(quadrants()))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return load_mesh(tmp_path / "m.ply")

    return call


def assert_colors(mesh: TexturedMesh, expected=QUADRANTS, tolerance: float = 8) -> None:
    for found, wanted in zip(colors_by_quadrant(mesh), expected, strict=True):
        assert found == pytest.approx(wanted, abs=tolerance)


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize(
    ("names", "kind", "value"),
    [
        (("red", "green", "blue"), "uchar", (128, 64, 255)),
        (("diffuse_red", "diffuse_green", "diffuse_blue"), "uchar", (128, 64, 255)),
        (("r", "g", "b"), "float", (0.502, 0.251, 1.0)),
        (("red", "green", "blue"), "ushort", (32896, 16448, 65535)),
        (("red", "green", "blue"), "float", (128.0, 64.0, 255.0)),
    ],
)
def test_colors_beside_coordinates_without_a_texture(read, form, names, kind, value) -> None:
    positions, uv, faces = square()
    properties = [*_XYZ, ("s", "float"), ("t", "float"), *((name, kind) for name in names)]
    rows = [[*p, *t, *value] for p, t in zip(positions.tolist(), uv.tolist(), strict=True)]
    mesh = read(ply(form, [("vertex", properties, rows), ("face", _FACE, [[f] for f in faces.tolist()])]))
    assert_colors(mesh, [(128, 64, 255)] * 4, 1)
    assert len(mesh) == 32


@pytest.mark.parametrize("form", _FORMS)
def test_textures_by_vertex_and_by_corner(read, form) -> None:
    positions, uv, faces = square()
    up = uv * [1, -1] + [0, 1]
    for names in (("s", "t"), ("u", "v"), ("texture_u", "texture_v")):
        properties = [*_XYZ, *((name, "float") for name in names)]
        rows = [[*p, *t] for p, t in zip(positions.tolist(), up.tolist(), strict=True)]
        data = ply(
            form,
            [("vertex", properties, rows), ("face", _FACE, [[f] for f in faces.tolist()])],
            ("TextureFile tex.png",),
        )
        assert_colors(read(data))
    wedge = [*_FACE, ("texcoord", "uchar", "float"), ("texnumber", "int")]
    rows = [[f, up[f].reshape(-1).tolist(), 0] for f in faces.tolist()]
    elements = [("vertex", _XYZ, [[*p] for p in positions.tolist()]), ("face", wedge, rows)]
    assert_colors(read(ply(form, elements, ("TextureFile tex.png",))))


@pytest.mark.parametrize("form", _FORMS)
def test_polygons_of_different_sizes(read, form) -> None:
    corners = [[0.0, 0, 0], [1.0, 0, 0], [1.0, 1, 0], [0.0, 1, 0], [2.0, 0.5, 0]]
    mesh = read(ply(form, [("vertex", _XYZ, corners), ("face", _FACE, [[[0, 1, 2, 3]], [[1, 4, 2]]])]))
    a, b, c = mesh.triangles.unbind(1)
    assert float((b - a).cross(c - a, dim=-1)[:, 2].sum() / 2) == pytest.approx(1.5)
    assert len(mesh) == 3


def test_colors_of_faces_and_missing_textures(read, tmp_path) -> None:
    corners = [[0.0, 0, 0], [1.0, 0, 0], [1.0, 1, 0], [0.0, 1, 0]]
    painted = [*_FACE, ("red", "uchar"), ("green", "uchar"), ("blue", "uchar")]
    faces = [[[0, 1, 2], 255, 0, 0], [[0, 2, 3], 0, 0, 255]]
    mesh = read(ply("ascii", [("vertex", _XYZ, corners), ("face", painted, faces)]))
    assert mesh.colors[mesh.faces].mean(1).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(UserWarning, match=r"1 missing texture .'gone\.png'"):
        read(ply("ascii", [("vertex", _XYZ, corners), ("face", painted, faces)], ("TextureFile gone.png",)))


def test_scalars_of_vertices_come_back(tmp_path) -> None:
    positions, _, faces = square()
    mesh = TexturedMesh.from_arrays(positions, faces)
    mesh = TexturedMesh(mesh.vertices, mesh.faces, attributes={"uncertainty": mesh.vertices[:, 0] + 2})
    again = load_mesh(save_mesh(mesh, tmp_path / "m.ply"))
    assert torch.allclose(again.attributes["uncertainty"], again.vertices[:, 0] + 2)


_HEAD = b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"ply\nformat ascii 1.0\nelement vertex 10\n", "no PLY header"),
        (ply("binary_little_endian", [("vertex", _XYZ, [[0.0, 0, 0]])])[:-4], "ends before its data"),
        (b"ply\nformat ascii 1.0\nelement vertex 999999999999\nproperty float x\nend_header\n1\n", "ends before"),
        (ply("ascii", [("vertex", _XYZ, [[0.0, 0, 0]] * 3), ("face", _FACE, [[[0, 1, 7]]])]), "missing vertices"),
        (_HEAD + b"element face 1\nproperty uchar red\nend_header\n0 0 0\n9\n", "faces name no vertices"),
    ],
)
def test_damaged_files_are_one_sentence(read, data, words) -> None:
    with pytest.raises(InputError, match=words):
        read(data)


@settings(max_examples=40, deadline=None)
@given(
    form=st.sampled_from(_FORMS),
    lists=st.lists(st.lists(st.integers(0, 1000), max_size=6), min_size=1, max_size=8),
    scalars=st.data(),
)
def test_containers_are_read_as_written(form, lists, scalars) -> None:
    """Law: rows with lists of any length come back, in every form."""
    numbers = [scalars.draw(st.integers(0, 255)) for _ in lists]
    rows = [[n, each, n / 4] for n, each in zip(numbers, lists, strict=True)]
    element = ("thing", [("a", "uchar"), ("b", "uchar", "int"), ("c", "double")], rows)
    found = parse_ply(ply(form, [element])).elements["thing"]
    assert found.scalars["a"].tolist() == numbers
    assert found.scalars["c"].tolist() == [n / 4 for n in numbers]
    assert found.lists["b"].counts.tolist() == [len(each) for each in lists]
    assert found.lists["b"].values.tolist() == [value for each in lists for value in each]
