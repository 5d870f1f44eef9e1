"""USD in: what a stage says about axes, units, colors and textures is heeded."""

import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from recon.core.conventions import srgb_to_linear
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.atlas import vertex_colors
from recon.io.meshes.files import load_mesh

#: A pyramid over a square (one quad, four triangles), its tip along the stage's third axis.
_POINTS = "[(-1,-1,0), (1,-1,0), (1,1,0), (-1,1,0), (0,0,3)]"
_COUNTS, _INDICES = "[4, 3, 3, 3, 3]", "[3,2,1,0, 0,1,4, 1,2,4, 2,3,4, 3,0,4]"


def usda(look: str = "", extra: str = "", header: str = 'upAxis = "Z"\n    metersPerUnit = 0.1') -> str:
    return f"""#usda 1.0
(
    {header}
)
def Xform "root"
{{
    double3 xformOp:translate = (10, 0, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
    def Mesh "pyramid" (prepend apiSchemas = ["MaterialBindingAPI"])
    {{
        point3f[] points = {_POINTS}
        int[] faceVertexCounts = {_COUNTS}
        int[] faceVertexIndices = {_INDICES}
        {look}
    }}
    def Mesh "hidden"
    {{
        token visibility = "invisible"
        point3f[] points = [(50,0,0), (51,0,0), (50,1,0)]
        int[] faceVertexCounts = [3]
        int[] faceVertexIndices = [0, 1, 2]
    }}
}}
{extra}
"""


@pytest.fixture
def read(tmp_path):
    pytest.importorskip("pxr", reason="needs the extra usd (usd-core)")

    def call(text: str) -> TexturedMesh:
        (tmp_path / "m.usda").write_text(text)
        return load_mesh(tmp_path / "m.usda")

    return call


def color_of(mesh: TexturedMesh, point) -> list[float]:
    found = (mesh.vertices - torch.tensor(point)).norm(dim=-1) < 1e-5
    return vertex_colors(mesh)[found].mean(0).tolist()


def test_axes_units_and_polygons(read) -> None:
    mesh = read(usda())
    assert mesh.vertices.amax(0).tolist() == pytest.approx([1.1, 0.3, 0.1])
    assert mesh.vertices.amin(0).tolist() == pytest.approx([0.9, 0.0, -0.1])
    assert len(mesh) == 6
    solid = mesh.to_trimesh()
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4e-3, rel=1e-4)  # the faces look outwards
    mirror = 'double3 xformOp:scale = (1, 1, -1)\n        uniform token[] xformOpOrder = ["xformOp:scale"]'
    assert read(usda(mirror)).to_trimesh().volume == pytest.approx(4e-3, rel=1e-4)
    turned = read(usda('uniform token orientation = "leftHanded"'))  # of faces that are listed the other way
    assert turned.to_trimesh().volume == pytest.approx(-4e-3, rel=1e-4)
    plain = read(usda(header='upAxis = "Y"'))  # a stage without units is in centimeters
    assert plain.vertices.amax(0).tolist() == pytest.approx([0.11, 0.01, 0.03])


def test_display_colors_are_linear_and_of_every_interpolation(read) -> None:
    tones = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.8, 0.2], [0.2, 0.3, 0.9], [0.5, 0.5, 0.1], [0.3, 0.7, 0.7]])
    listed = [tuple(round(v, 6) for v in row) for row in srgb_to_linear(tones).tolist()]

    def painted(values: list, kind: str) -> TexturedMesh:
        return read(usda(f'color3f[] primvars:displayColor = {values} (interpolation = "{kind}")'))

    tip, corner = (1.0, 0.3, 0.0), (0.9, 0.0, 0.1)  # points 4 and 0
    mesh = painted(listed, "vertex")
    assert color_of(mesh, tip) == pytest.approx(tones[4].tolist(), abs=1e-3)
    assert color_of(mesh, corner) == pytest.approx(tones[0].tolist(), abs=1e-3)
    assert mesh.to_trimesh().is_watertight
    assert color_of(painted(listed[:1], "constant"), tip) == pytest.approx(tones[0].tolist(), abs=1e-3)
    uniform = painted(listed, "uniform")
    assert color_of(uniform, tip) == pytest.approx(tones[1:].mean(0).tolist(), abs=1e-3)
    assert color_of(uniform, corner) == pytest.approx(tones[[0, 1, 4]].mean(0).tolist(), abs=1e-3)
    order = [3, 2, 1, 0, 0, 1, 4, 1, 2, 4, 2, 3, 4, 3, 0, 4]
    varying = painted([listed[k] for k in order], "faceVarying")
    assert len(varying.vertices) == 5
    assert torch.allclose(varying.colors.sort(0).values, mesh.colors.sort(0).values, atol=1e-5)


_MATERIAL = """
def Material "paint"
{
    token outputs:surface.connect = </paint/surface.outputs:surface>
    string inputs:coordinates = "map1"
    def Shader "surface"
    {
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor%s
        token outputs:surface
    }
    def Shader "reader"
    {
        uniform token info:id = "UsdPrimvarReader_float2"
        string inputs:varname.connect = </paint.inputs:coordinates>
        float2 outputs:result
    }
    def Shader "picture"
    {
        uniform token info:id = "UsdUVTexture"
        asset inputs:file = @colors.png@
        float2 inputs:st.connect = </paint/reader.outputs:result>
        float3 outputs:rgb
    }
}
"""


def test_textures_and_constant_colors_of_materials(read, tmp_path) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32, 0] = picture[:32, 32:, 1] = picture[32:, :32, 2] = 255  # red, green above; blue, black below
    Image.fromarray(picture).save(tmp_path / "colors.png")
    st = [[(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9), (0.1, 0.1)][k] for k in map(int, "3210014124234304")]
    look = f'texCoord2f[] primvars:map1 = {st} (interpolation = "faceVarying")\n        rel material:binding = </paint>'
    mesh = read(usda(look, _MATERIAL % ".connect = </paint/picture.outputs:rgb>"))
    assert mesh.texture.shape == (3, 64, 64)
    assert mesh.to_trimesh().is_watertight
    assert color_of(mesh, (0.9, 0.0, 0.1)) == pytest.approx([0, 0, 1], abs=0.02)  # lower left
    assert color_of(mesh, (0.9, 0.0, -0.1)) == pytest.approx([1, 0, 0], abs=0.02)  # upper left
    assert color_of(mesh, (1.1, 0.0, -0.1)) == pytest.approx([0, 1, 0], abs=0.02)
    plain = read(usda(look, _MATERIAL % " = (0.2140411, 0.0, 1.0)"))
    assert color_of(plain, (1.0, 0.3, 0.0)) == pytest.approx([0.5, 0, 1], abs=1e-3)


_MOVED = """
    def Shader "moved"
    {
        uniform token info:id = "UsdTransform2d"
        float2 inputs:in.connect = </paint/reader.outputs:result>
        float2 inputs:scale = %s
        float inputs:rotation = %s
        float2 inputs:translation = %s
        float2 outputs:result
    }
}
"""


def _moved(scale: str, rotation: str, translation: str) -> str:
    text = (_MATERIAL % ".connect = </paint/picture.outputs:rgb>").rstrip().removesuffix("}")
    text = text.replace("inputs:st.connect = </paint/reader.outputs", "inputs:st.connect = </paint/moved.outputs")
    return text + _MOVED % (scale, rotation, translation)


@pytest.fixture
def painted(read, tmp_path):
    """The square base of the pyramid under four colors: red, green above; blue, black below."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32, 0] = picture[:32, 32:, 1] = picture[32:, :32, 2] = 255
    Image.fromarray(picture).save(tmp_path / "colors.png")
    st = [[(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9), (0.1, 0.1)][k] for k in map(int, "3210014124234304")]

    def call(material: str, name: str = "map1") -> TexturedMesh:
        look = f'texCoord2f[] primvars:{name} = {st} (interpolation = "faceVarying")\n rel material:binding = </paint>'
        return read(usda(look, material))

    return call


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (("(1, 1)", "0", "(0, 0)"), (0, 0, 1)),  # the lower left reads the lower left
        (("(1, 1)", "0", "(0.5, 0)"), (0, 0, 0)),
        (("(1, 1)", "0", "(0, 0.5)"), (1, 0, 0)),
        (("(-1, -1)", "0", "(1, 1)"), (0, 1, 0)),
        (("(1, 1)", "90", "(1, 0)"), (0, 0, 0)),  # (.1, .1) turns to (-.1, .1)
        (("(3, 1)", "-90", "(0, 1)"), (1, 0, 0)),  # scale first: (.3, .1) turns to (.1, -.3)
    ],
)
def test_transforms_of_coordinates(painted, transform, expected) -> None:
    assert color_of(painted(_moved(*transform)), (0.9, 0.0, 0.1)) == pytest.approx(expected, abs=0.02)


def test_the_only_set_of_coordinates_is_taken_under_any_name(painted) -> None:
    mesh = painted(_MATERIAL % ".connect = </paint/picture.outputs:rgb>", "UVMap")
    assert color_of(mesh, (0.9, 0.0, 0.1)) == pytest.approx([0, 0, 1], abs=0.02)


def test_scale_and_bias_of_a_texture_work_in_linear_light(painted) -> None:
    material = _MATERIAL % ".connect = </paint/picture.outputs:rgb>"
    more = "float4 inputs:scale = (1, 1, 0.5, 1)\n float4 inputs:bias = (0.2140411, 0, 0, 0)\n asset inputs:file"
    mesh = painted(material.replace("asset inputs:file", more))
    assert color_of(mesh, (0.9, 0.0, 0.1)) == pytest.approx([0.5, 0, 0.7354], abs=0.01)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("@colors.png@", "@gone.png@"), "1 missing texture .'gone.png'"),
        (("@colors.png@", "@m.usda@"), "1 unreadable texture .'m.usda"),
        (("UsdPreviewSurface", "ND_standard_surface"), "1 material without a preview surface .'paint'"),
    ],
)
def test_what_is_lost_is_said(painted, change, words) -> None:
    with pytest.warns(UserWarning, match=words):
        painted((_MATERIAL % ".connect = </paint/picture.outputs:rgb>").replace(*change))


def test_other_prims_are_counted(read) -> None:
    with pytest.warns(UserWarning, match="2 Sphere prims, 1 Points prim"):
        read(usda(extra='def Sphere "a" {}\ndef Sphere "b" {}\ndef Points "c" {}\n'))


@pytest.mark.parametrize("look", ["texture", "colors"])
def test_what_is_exported_is_read_again(read, tmp_path, look: str) -> None:
    from recon.io.meshes.usd import save_usdz

    sphere = trimesh.creation.icosphere(2, 0.5)
    mesh = TexturedMesh.from_arrays(sphere.vertices, sphere.faces, sphere.vertices + 0.5)
    if look == "texture":
        uv, texture = mesh.vertices[mesh.faces][..., :2] * 0.5 + 0.5, torch.rand(3, 32, 32)
        mesh = TexturedMesh(mesh.vertices, mesh.faces, uv=uv, texture=texture)
    again = load_mesh(save_usdz(mesh, tmp_path / "m.usdz"))
    assert (len(again.vertices), len(again)) == (len(mesh.vertices), len(mesh))
    assert again.to_trimesh().volume == pytest.approx(sphere.volume, rel=1e-5)
    for k in range(0, len(mesh.vertices), 13):
        assert color_of(again, mesh.vertices[k].tolist()) == pytest.approx(vertex_colors(mesh)[k].tolist(), abs=0.01)


def test_bad_stages_and_a_missing_library_are_one_sentence(read, tmp_path, monkeypatch) -> None:
    for text, told in (
        ("not usd", "cannot be read as a mesh"),
        ("#usda 1.0\n", "holds no triangles"),
        (usda().replace("3,2,1,0,", "3,2,1,77,"), "missing vertices"),
    ):
        with pytest.raises(InputError, match=told):
            read(text)
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(InputError, match=r"needs OpenUSD: install it with pip install 'mvdiff\[usd\]'\.$"):
        load_mesh(tmp_path / "m.usda")
