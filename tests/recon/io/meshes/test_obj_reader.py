"""OBJ as programs write it: names, options, indices, colors."""

import warnings

import numpy as np
import pytest
from gltf_files import BLUE, GREEN, QUADRANTS, RED, YELLOW, colors_by_quadrant, encoded, quadrants, square
from PIL import Image

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import load_mesh
from recon.io.meshes.notes import Notes


def square_text(corner: str = "{v}/{t}", before: str = "mtllib m.mtl\nusemtl paint\n", colors=None) -> str:
    positions, uv, faces = square()
    rows = positions if colors is None else np.concatenate([positions, colors], 1)
    lines = ["v " + " ".join(f"{x:g}" for x in row) for row in rows.tolist()]
    lines += [f"vt {u:g} {1 - v:g}" for u, v in uv.tolist()]
    corners = [[corner.format(v=i + 1, t=i + 1) for i in face] for face in faces.tolist()]
    return before + "\n".join([*lines, *("f " + " ".join(each) for each in corners)]) + "\n"


@pytest.fixture
def read(tmp_path):
    def call(text: str, materials: str | None = "map_Kd tex.png", picture: str = "tex.png") -> TexturedMesh:
        (tmp_path / picture).parent.mkdir(exist_ok=True)
        (tmp_path / picture).write_bytes(encoded(quadrants()))
        if materials is not None:
            (tmp_path / "m.mtl").write_text(f"newmtl paint\nKd 1 1 1\n{materials}\n")
        (tmp_path / "m.obj").write_text(text, "utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return load_mesh(tmp_path / "m.obj")

    return call


def assert_colors(mesh: TexturedMesh, expected=QUADRANTS, tolerance: float = 8) -> None:
    for found, wanted in zip(colors_by_quadrant(mesh), expected, strict=True):
        assert found == pytest.approx(wanted, abs=tolerance)


@pytest.mark.parametrize(
    ("stated", "picture"),
    [
        ("tex.png", "tex.png"),
        ("my tex.png", "my tex.png"),
        ("textures\\tex.png", "textures/tex.png"),
        (".\\tex.png", "tex.png"),
        ("C:\\Users\\me\\models\\tex.png", "tex.png"),
        ("/home/me/models/tex.png", "tex.png"),
        ("..\\textures\\tex.png", "tex.png"),
        ("Tex.PNG", "tex.png"),
        ("Textures\\TEX.png", "textures/tex.png"),
        ('"tex.png"', "tex.png"),
        ("-s 1 1 1 -o 0 0 0 tex.png", "tex.png"),
        ("-bm 0.2 -clamp on -mm 0 1 tex.png", "tex.png"),
        ("-s 1 1 1 2 tex.png", "2 tex.png"),
    ],
)
def test_pictures_are_found_by_every_way_of_naming_them(read, stated, picture) -> None:
    assert_colors(read(square_text(), f"map_Kd {stated}", picture))


def test_options_move_the_picture(read) -> None:
    assert_colors(read(square_text(), "map_Kd -o 0.5 0 0 tex.png"), (GREEN, RED, YELLOW, BLUE))
    assert_colors(read(square_text(), "map_Kd -s 0.5 0.5 tex.png"), (BLUE,) * 4)  # v counts from the lower edge
    assert_colors(read(square_text(), "map_Kd -clamp on -o 1 0 tex.png"), (GREEN, GREEN, YELLOW, YELLOW))


def test_libraries_with_spaces_and_several_of_them(read, tmp_path) -> None:
    (tmp_path / "my look.mtl").write_text("newmtl paint\nmap_Kd tex.png\n")
    (tmp_path / "other.mtl").write_text("newmtl other\nKd 1 0 0\n")
    for line in ("mtllib my look.mtl", "mtllib other.mtl\nmtllib my look.mtl", "mtllib MY LOOK.MTL"):
        assert_colors(read(square_text(before=f"{line}\nusemtl paint\n"), None))
    (tmp_path / "plain.mtl").write_text("newmtl my paint\nmap_Kd tex.png\n")
    assert_colors(read(square_text(before="mtllib other.mtl plain.mtl\nusemtl my paint\n"), None))


@pytest.mark.parametrize("corner", ["{v}/{t}", "{v}/{t}/1"])
def test_indices_may_have_normals_and_count_backwards(read, corner) -> None:
    before = "mtllib m.mtl\nusemtl paint\nvn 0 0 1\n"
    assert_colors(read(square_text(corner, before)))
    count = len(square()[0])
    text = square_text(corner, before)
    head, faces = text[: text.index("\nf ")], text[text.index("\nf ") :].split("\n")

    def backwards(word: str) -> str:
        v, t, *rest = word.split("/")
        return "/".join([str(int(v) - count - 1), str(int(t) - count - 1), *rest])

    turned = ["f " + " ".join(backwards(word) for word in line.split()[1:]) for line in faces if line]
    assert_colors(read(head + "\n" + "\n".join(turned) + "\n"))


def test_a_continued_line_a_tab_and_a_mark_at_the_beginning(read) -> None:
    text = square_text().replace("f 1/1 2/2", "f 1/1 \\\n 2/2").replace("usemtl paint", "usemtl\tpaint")
    assert_colors(read("\ufeff# made by hand\n" + text.replace("v -1 -1 0\n", "v\t-1\t-1\t0\n", 1)))


def test_colors_of_vertices_beside_materials(read) -> None:
    positions, _, _ = square()
    ramp = np.repeat((positions[:, :1] + 1) / 2, 3, 1)
    for scale in (1, 255):
        mesh = read(square_text("{v}", colors=ramp * scale), "")
        left, right, *_ = colors_by_quadrant(mesh)
        assert left == pytest.approx((60,) * 3, abs=12)
        assert right == pytest.approx((195,) * 3, abs=12)
    gray = read(square_text("{v}", colors=ramp), "Kd 0.8 0.8 0.8")  # the default of exporters, no tint
    assert colors_by_quadrant(gray)[1] == pytest.approx((195,) * 3, abs=12)
    red = read(square_text("{v}", colors=0 * ramp + 1), "Kd 1 0 0")
    assert colors_by_quadrant(red) == [(255, 0, 0)] * 4


def test_colors_beside_a_texture_are_said(tmp_path, read) -> None:
    read(square_text())
    positions, _, _ = square()
    (tmp_path / "m.obj").write_text(square_text(colors=(positions + 1) / 2))
    with pytest.warns(UserWarning, match="1 set of vertex colors beside a texture"):
        assert_colors(load_mesh(tmp_path / "m.obj"))


def test_faces_without_coordinates_take_the_plain_color(tmp_path, read) -> None:
    text = square_text() + "v 5 0 0\nv 6 0 0\nv 5 1 0\nf -3 -2 -1\n"
    with pytest.raises(UserWarning, match="1 face without texture coordinates"):
        read(text)
    notes = Notes()
    assert len(load_mesh(tmp_path / "m.obj", notes)) == 33
    assert notes.counts == {"face without texture coordinates": 1}


def test_masks_cut_holes(tmp_path, read) -> None:
    y, x = np.mgrid[:128, :128] + 0.5
    disc = ((x - 64) ** 2 + (y - 64) ** 2 < 51.2**2).astype(np.uint8) * 255
    Image.fromarray(disc).save(tmp_path / "mask.png")
    mesh = read(square_text(), "map_Kd tex.png\nmap_d mask.png")
    a, b, c = mesh.triangles.unbind(1)
    area = float((b - a).cross(c - a, dim=-1).norm(dim=-1).sum() / 2)
    assert area == pytest.approx(np.pi * 0.64, rel=0.02)
    assert_colors(mesh, tolerance=12)


def test_concave_polygons_keep_their_outline(read) -> None:
    """An arrow head as one polygon: a fan from its first corner would fill the notch."""
    for first in range(4):
        order = " ".join(str((first + k) % 4 + 1) for k in range(4))
        mesh = read(f"v 1 1 0\nv 0 0 0\nv -1 1 0\nv 0 -1 0\nf {order}\n", None)
        a, b, c = mesh.triangles.unbind(1)
        assert float((b - a).cross(c - a, dim=-1)[:, 2].abs().sum() / 2) == pytest.approx(1.0)
    star = [(np.cos(k * np.pi / 5) * (1 + k % 2), np.sin(k * np.pi / 5) * (1 + k % 2)) for k in range(10)]
    text = "".join(f"v {x} {y} 0\n" for x, y in star) + "f " + " ".join(map(str, range(1, 11))) + "\n"
    mesh = read(text, None)
    a, b, c = mesh.triangles.unbind(1)
    signed = (b - a).cross(c - a, dim=-1)[:, 2] / 2
    assert (signed > 0).all()
    assert float(signed.sum()) == pytest.approx(10 * 0.5 * 1 * 2 * np.sin(np.pi / 5), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "materials", "words"),
    [
        (square_text(before="mtllib gone.mtl\nusemtl paint\n"), None, "1 missing material library .'gone.mtl'"),
        (square_text(), "map_Kd gone.png", "1 missing texture .'gone.png'"),
        (square_text(), "map_Kd m.obj", "1 unreadable texture .'m.obj"),
        (square_text(before="mtllib /etc/passwd\nusemtl x\n"), None, "1 missing material library"),
        (square_text(before="mtllib ../../../../etc/passwd\n"), None, "1 missing material library"),
        (square_text() + "l 1 2\nl 2 3\n", "map_Kd tex.png", "2 lines"),
        (square_text(), "map_Kd tex.png\nmap_Bump tex.png", "1 normal map"),
    ],
)
def test_what_is_lost_is_said(read, text, materials, words) -> None:
    with pytest.raises(UserWarning, match=words):
        read(text, materials)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "missing vertices"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -9\n", "missing vertices"),
        ("v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "less than three"),
        ("v a b c\nf 1 1 1\n", "could not convert"),
    ],
)
def test_damaged_files_are_one_sentence(read, text, words) -> None:
    with pytest.raises(InputError, match=words):
        read(text, None)
