"""Textures of glTF files: every color here follows from the standard, not from another reader."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from gltf_files import (
    BLUE,
    GREEN,
    QUADRANTS,
    RED,
    YELLOW,
    Gltf,
    area,
    assert_colors,
    colors_by_quadrant,
    encoded,
    quadrants,
    square,
    textured_square,
    times,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recon.core.errors import InputError
from recon.io.meshes.files import load_mesh


@pytest.mark.parametrize("name", ["m.glb", "m.gltf"])
def test_a_plain_texture(read, name) -> None:
    mesh = read(textured_square(), name)
    assert_colors(mesh)
    assert mesh.texture.shape == (3, 64, 64)
    assert len(mesh) == 32


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_normalized_integers_are_fractions(read, kind) -> None:
    _, uv, _ = square()
    scaled = np.rint(uv * np.iinfo(kind).max).astype(kind)
    assert_colors(read(textured_square(attributes={"TEXCOORD_0": (scaled, True)})))


def test_quantized_positions_are_scaled_by_their_type_or_their_node(read) -> None:
    positions, _, _ = square()
    signed = textured_square(attributes={"POSITION": (np.rint(positions * 127).astype(np.int8), True)})
    plain = textured_square(
        attributes={"POSITION": np.rint(positions * 16383).astype(np.int16)}, node={"scale": [1 / 16383] * 3}
    )
    for gltf in (signed, plain):
        gltf.json["extensionsRequired"] = ["KHR_mesh_quantization"]
        mesh = read(gltf)
        assert torch.stack(mesh.bounds).tolist() == pytest.approx(np.array([[-1, -1, 0], [1, 1, 0]]), abs=1e-4)
        assert_colors(mesh)


def test_sparse_accessors_replace_values_and_may_stand_alone(read) -> None:
    gltf = textured_square()
    positions, _, _ = square()
    places = np.arange(len(positions), dtype=np.uint16)
    accessor = gltf.json["accessors"][0]
    del accessor["bufferView"]  # zeros
    accessor["sparse"] = {
        "count": len(places),
        "indices": {"bufferView": gltf.view(places.tobytes()), "componentType": 5123},
        "values": {"bufferView": gltf.view(positions.tobytes())},
    }
    assert_colors(read(gltf))


def test_a_texture_names_its_coordinates(read) -> None:
    _, uv, _ = square()
    turned = np.ascontiguousarray(uv[:, ::-1])
    swapped = (RED, BLUE, GREEN, YELLOW)
    assert_colors(read(textured_square(attributes={"TEXCOORD_1": turned}, info={"texCoord": 1})), swapped)
    transform = {"extensions": {"KHR_texture_transform": {"texCoord": 1}}}  # has the last word
    assert_colors(read(textured_square(attributes={"TEXCOORD_1": turned}, info=transform)), swapped)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({"offset": [0.5, 0]}, (GREEN, RED, YELLOW, BLUE)),
        ({"scale": [0.5, 0.5]}, (RED,) * 4),
        ({"scale": [1, -1], "offset": [0, 1]}, (BLUE, YELLOW, RED, GREEN)),
        # Counter-clockwise by a right angle: the square's upper left reads the picture's lower left.
        ({"rotation": np.pi / 2, "offset": [0, 1]}, (BLUE, RED, YELLOW, GREEN)),
        ({"rotation": np.pi / 2, "offset": [0, 0.5], "scale": [0.5, 0.5]}, (RED,) * 4),
    ],
)
def test_texture_transforms(read, transform, expected) -> None:
    mesh = read(textured_square(info={"extensions": {"KHR_texture_transform": transform}}))
    assert_colors(mesh, expected)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(10497, (RED, RED, RED, RED)), (33648, (RED, GREEN, BLUE, YELLOW)), (33071, (YELLOW,) * 4)],
)
def test_wrap_modes_beyond_the_edge(read, mode, expected) -> None:
    """Coordinates 2…2.5 + … : repeat sees the first quadrant again, mirror and clamp what the standard says."""
    _, uv, _ = square()
    moved = {10497: uv * 0.49 + 3.0, 33648: uv + 2.0, 33071: uv + 1.0}[mode].astype(np.float32)
    gltf = textured_square(uv=moved, texture={"sampler": 0})
    gltf.add("samplers", {"wrapS": mode, "wrapT": mode})
    assert_colors(read(gltf), expected)


def test_a_mirrored_texture_turns_round_in_its_second_tile(read) -> None:
    _, uv, _ = square()
    gltf = textured_square(uv=(uv + np.float32([1, 0])).astype(np.float32), texture={"sampler": 0})
    gltf.add("samplers", {"wrapS": 33648})
    assert_colors(read(gltf), (GREEN, RED, YELLOW, BLUE))


def test_a_clamped_texture_inside_larger_coordinates(read) -> None:
    """Coordinates -1…2: the picture fills the middle third, its edges go on outwards."""
    _, uv, _ = square(4)
    gltf = textured_square(uv=(uv * 3 - 1).astype(np.float32), texture={"sampler": 0})
    gltf.add("samplers", {"wrapS": 33071, "wrapT": 33071})
    assert_colors(read(gltf), QUADRANTS)


def test_factor_texture_and_vertex_colors_multiply_in_linear_light(read) -> None:
    positions, _, _ = square()
    tint = np.tile(np.float32([0.5, 0.25, 1, 1]), (len(positions), 1))
    mesh = read(textured_square(attributes={"COLOR_0": tint}, surface={"baseColorFactor": [1, 1, 0.5, 1]}))
    assert_colors(mesh, [times(color, (0.5, 0.25, 0.5)) for color in QUADRANTS])
    assert len(mesh) == 32


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.uint16])
def test_vertex_colors_that_vary_over_a_texture(read, kind) -> None:
    """From black on the left to white on the right, over a gray picture."""
    positions, _, _ = square()
    ramp = np.repeat((positions[:, :1] + 1) / 2, 3, 1)
    values = ramp.astype(np.float32) if kind is np.float32 else np.rint(ramp * np.iinfo(kind).max).astype(kind)
    gray = encoded(np.full((16, 16, 3), 188, np.uint8))  # .5 in linear light
    mesh = read(textured_square(gray, attributes={"COLOR_0": (values, kind is not np.float32)}))
    left, right, *_ = colors_by_quadrant(mesh, 20000)
    assert left == pytest.approx(times((255,) * 3, (0.5 * 0.19,) * 3), abs=10)
    assert right == pytest.approx(times((255,) * 3, (0.5 * 0.81,) * 3), abs=10)
    assert_colors(read(textured_square(attributes={"COLOR_0": (np.ones_like(ramp), False)})))


def _leaf(background: int = 0) -> np.ndarray:
    """Green, opaque in a disc of radius .4 of the picture."""
    y, x = np.mgrid[:128, :128] + 0.5
    inside = (x - 64) ** 2 + (y - 64) ** 2 < 51.2**2
    picture = np.full((128, 128, 4), background, np.uint8)
    picture[inside] = (40, 200, 60, 255)
    picture[..., 3] = np.where(inside, 255, 0)
    return picture


@pytest.mark.parametrize("mode", ["MASK", "BLEND"])
def test_leaf_cards_have_the_silhouette_of_their_leaf(read, mode) -> None:
    mesh = read(textured_square(encoded(_leaf()), material={"alphaMode": mode}))
    assert area(mesh) == pytest.approx(np.pi * 0.8**2, rel=0.01)
    radius = mesh.vertices[mesh.faces.unique()][:, :2].norm(dim=1)
    assert 0.79 < radius.max() < 0.82
    assert_colors(mesh, [GREEN] * 4, 3)  # no rim of what lies under the transparent texels
    assert area(read(textured_square(encoded(_leaf())))) == pytest.approx(4)  # OPAQUE ignores alpha


def test_repeated_leaves_and_soft_ones(read) -> None:
    _, uv, _ = square()
    mesh = read(textured_square(encoded(_leaf()), uv=uv * 3, material={"alphaMode": "MASK"}))
    assert area(mesh) == pytest.approx(np.pi * 0.8**2, rel=0.02)
    soft = _leaf()
    soft[..., 3] = np.clip(255 * (1 - np.hypot(*(np.mgrid[:128, :128] - 63.5)) / 64), 0, 255)
    for cutoff in (0.25, 0.75):
        material = {"alphaMode": "MASK", "alphaCutoff": cutoff}
        mesh = read(textured_square(encoded(soft), material=material))
        assert area(mesh) == pytest.approx(np.pi * (1 - cutoff) ** 2, rel=0.02)


def test_an_opaque_mask_and_even_glass_stay_whole(tmp_path, read) -> None:
    opaque = read(textured_square(encoded(np.dstack([quadrants(), np.full((64, 64), 255, np.uint8)]))))
    masked = read(textured_square(material={"alphaMode": "MASK"}))
    assert len(masked) == len(opaque) == 32
    glass = textured_square(surface={"baseColorFactor": [1, 1, 1, 0.2]}, material={"alphaMode": "BLEND"})
    with pytest.warns(UserWarning, match="1 see-through material"):
        assert len(load_mesh(glass.save(tmp_path / "m.glb"))) == 32


def test_vertex_opacity_cuts_between_vertices(read) -> None:
    gltf, (positions, _, faces) = Gltf(), square()
    color = np.concatenate([np.ones((len(positions), 3)), (positions[:, :1] + 1) / 2], 1).astype(np.float32)
    attributes = {"POSITION": gltf.accessor(positions), "COLOR_0": gltf.accessor(color)}
    look = gltf.add("materials", {"alphaMode": "MASK", "alphaCutoff": 0.3})
    gltf.show(mesh=gltf.mesh(attributes, faces, material=look))
    mesh = read(gltf)
    assert mesh.bounds[0][0] == pytest.approx(-0.4, abs=1e-5)
    assert area(mesh) == pytest.approx(2.8, rel=1e-5)


def test_scans_that_are_stored_as_light(read) -> None:
    gltf = textured_square(surface={"baseColorFactor": [0, 0, 0, 1]}, material={"emissiveFactor": [1, 1, 1]})
    material = gltf.json["materials"][0]
    material["emissiveTexture"] = material["pbrMetallicRoughness"].pop("baseColorTexture")
    assert_colors(read(gltf))
    del material["pbrMetallicRoughness"]
    assert_colors(read(gltf))
    unlit = textured_square(material={"extensions": {"KHR_materials_unlit": {}}})
    assert_colors(read(unlit))
    old = textured_square()
    look = old.json["materials"][0]
    info = look.pop("pbrMetallicRoughness")["baseColorTexture"]
    workflow = {"diffuseTexture": info, "diffuseFactor": [1, 0.5, 1, 1]}
    look["extensions"] = {"KHR_materials_pbrSpecularGlossiness": workflow}
    assert_colors(read(old), [times(color, (1, 0.5, 1)) for color in QUADRANTS])


def test_deep_and_indexed_pictures(read) -> None:
    gray = quadrants()[..., 0]
    expected = [(color[0],) * 3 for color in QUADRANTS]
    assert_colors(read(textured_square(encoded(gray))), expected)
    assert_colors(read(textured_square(encoded(gray.astype(np.uint16) * 257))), expected)
    stream = io.BytesIO()
    Image.fromarray(quadrants()).quantize(4).save(stream, "PNG")
    assert_colors(read(textured_square(stream.getvalue())))
    for kind in ("WEBP", "BMP"):
        assert_colors(read(textured_square(encoded(quadrants(), kind))), tolerance=10)


def test_16_bit_color_pictures(read) -> None:
    """Written by hand, as Pillow writes none."""
    import struct
    import zlib

    deep = (quadrants(8).astype(">u2") * 257).reshape(8, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in deep)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    mesh = read(textured_square(png))
    assert (mesh.texture[:, 0, 0] * 255).round().int().tolist() == list(RED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uri": "not%20here.png"}, "1 missing texture .*not%20here.png"),
        ({"uri": "../../etc/passwd"}, "1 missing texture"),
        ({"uri": "broken.png"}, "1 unreadable texture .*broken.png"),
        ({}, "1 unreadable texture"),
    ],
)
def test_lost_textures_are_named(tmp_path, change, words) -> None:
    gltf = textured_square()
    gltf.json["images"][0] = change
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=words):
        mesh = load_mesh(gltf.save(tmp_path / "m.glb"))
    assert len(mesh) == 32


def test_a_texture_may_have_several_sources(tmp_path, read) -> None:
    gltf = textured_square()
    bad = gltf.add("images", {"bufferView": gltf.view(b"\xabKTX 20\xbb\r\n\x1a\n" + b"\0" * 64)})
    gltf.json["textures"][0]["extensions"] = {"KHR_texture_basisu": {"source": bad}}
    assert_colors(read(gltf))  # the PNG beside it
    del gltf.json["textures"][0]["source"]
    with pytest.warns(UserWarning, match="KTX2"):
        load_mesh(gltf.save(tmp_path / "m.glb"))
    gltf.json["extensionsRequired"] = ["KHR_texture_basisu"]
    with pytest.raises(InputError, match="requires the glTF extension KHR_texture_basisu"):
        load_mesh(gltf.save(tmp_path / "m.glb"))


def test_large_textures_are_reduced_on_reading(read) -> None:
    picture = Image.fromarray(quadrants()).resize((5000, 4500), Image.Resampling.NEAREST)
    mesh = read(textured_square(encoded(np.asarray(picture), compress_level=1)))
    assert max(mesh.texture.shape) <= 4096
    assert_colors(mesh)


@settings(max_examples=25, deadline=None)
@given(
    offset=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    wrap=st.sampled_from(["repeat", "mirror", "clamp"]),
    size=st.floats(0.2, 2.5),
)
def test_unrolled_textures_show_the_texel_of_the_sampler(offset, wrap, size) -> None:
    """Law: for every point, the unrolled image shows the texel that wrapping the coordinate itself would."""
    from recon.io.meshes.wrapping import unroll

    image = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    uv = (np.float32([[[0, 0], [1, 0], [0, 1]]]) * size + np.float32(offset)).astype(np.float32)
    new, unrolled = unroll(uv, image, (wrap, wrap))
    weights = np.random.default_rng(1).dirichlet([1, 1, 1], 200)
    before, after = weights @ uv[0].astype(float), weights @ new[0].astype(float)
    wrapped = {"repeat": before % 1, "clamp": before.clip(0, 1), "mirror": 1 - np.abs(before % 2 - 1)}[wrap]
    own = np.minimum((wrapped * [8, 16]).astype(int), [7, 15])
    side = np.array(unrolled.shape[1::-1])
    place = np.minimum((after * side).astype(int), side - 1)
    margin = np.abs(wrapped * [8, 16] - np.rint(wrapped * [8, 16])).min(1) > 1e-2  # not on the border of two texels
    assert (image[own[:, 1], own[:, 0]] == unrolled[place[:, 1], place[:, 0]])[margin].all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), threshold=st.floats(0.2, 0.8))
def test_cut_and_rest_make_the_whole(seed, threshold) -> None:
    """Law: what a cut keeps and what its complement keeps have the area of the surface together."""
    from recon.io.meshes.cutout import cut
    from recon.io.meshes.looks import Surface

    positions, _, faces = square(3)
    opacity = np.random.default_rng(seed).random(len(positions)).astype(np.float32)
    surface = Surface(positions, faces.astype(np.int64))

    def area_of(part: Surface) -> float:
        a, b, c = np.moveaxis(part.vertices[part.faces].astype(float), 1, 0)
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum() / 2)

    above = cut(surface, opacity, threshold)
    below = cut(replace(surface), -opacity, -threshold)
    assert area_of(above) + area_of(below) == pytest.approx(4, rel=1e-4)
