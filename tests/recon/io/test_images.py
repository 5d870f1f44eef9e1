"""load_image: every kind of file becomes upright 8-bit sRGB RGBA, every bad one becomes one InputError."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from recon.core.errors import InputError
from recon.io.images.files import MAX_SIDE, is_premultiplied, load_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def _corners() -> Image.Image:
    """4 x 6 with a color in each quarter: red green / blue white."""
    image = Image.new("RGB", (4, 6))
    for box, color in zip([(0, 0), (2, 0), (0, 3), (2, 3)], (RED, GREEN, BLUE, WHITE), strict=True):
        image.paste(color, (*box, box[0] + 2, box[1] + 3))
    return image


def _rgb(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    return image.getpixel((x, y))[:3]


def _disc(color=(200, 120, 40), size: int = 64) -> np.ndarray:
    """Straight RGBA of a soft disc."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    alpha = np.clip((size * 0.4 - np.hypot(x, y)) / 3 + 0.5, 0, 1)
    rgba = np.empty((size, size, 4), np.uint8)
    rgba[..., :3], rgba[..., 3] = color, np.rint(alpha * 255)
    return rgba


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "webp", "tiff", "ppm"])
def test_lossless_formats(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    _corners().save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = load_image(path)
    assert (image.mode, image.size) == ("RGBA", (4, 6))
    assert [_rgb(image, *xy) for xy in [(0, 0), (3, 0), (0, 5), (3, 5)]] == [RED, GREEN, BLUE, WHITE]
    assert image.getchannel("A").getextrema() == (255, 255)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_shows_the_same_scene(tmp_path, orientation, kind):
    inverse = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]  # Image.Transpose that the tag undoes
    scene = _corners().resize((32, 48), Image.Resampling.NEAREST)
    stored = scene if inverse is None else scene.transpose(Image.Transpose(inverse))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"p.{kind}", exif=exif, **({"quality": 95} if kind in ("jpg", "webp", "avif") else {}))
    for source in (tmp_path / f"p.{kind}", Image.open(tmp_path / f"p.{kind}")):
        image = load_image(source)
        assert image.size == (32, 48)
        for x, y, color in [(8, 12, RED), (24, 12, GREEN), (8, 36, BLUE), (24, 36, WHITE)]:
            assert np.abs(np.subtract(_rgb(image, x, y), color)).max() < 30


def test_a_pillow_picture_is_not_changed(tmp_path):
    Image.new("RGB", (3000, 2000), RED).save(tmp_path / "p.jpg")
    source = Image.open(tmp_path / "p.jpg")
    assert load_image(source).size == (2048, 1365)
    assert source.size == (3000, 2000)


def test_sixteen_bit_gray_is_scaled(tmp_path):
    ramp = np.array([[0, 257 * 100, 65535]], np.uint16)
    for name in ("p.png", "p.tiff"):
        Image.fromarray(ramp).save(tmp_path / name)
        assert [_rgb(load_image(tmp_path / name), x, 0)[0] for x in range(3)] == [0, 100, 255]


def test_float_and_32_bit_gray(tmp_path):
    Image.fromarray(np.array([[0.0, 0.2, 1.0]], np.float32)).save(tmp_path / "f.tiff")
    assert [_rgb(load_image(tmp_path / "f.tiff"), x, 0)[0] for x in range(3)] == [0, 51, 255]
    Image.fromarray(np.array([[0, 65535]], np.int32)).save(tmp_path / "i.tiff")
    assert _rgb(load_image(tmp_path / "i.tiff"), 1, 0)[0] == 255


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "p.jpg", quality=95)
    red, green, blue = _rgb(load_image(tmp_path / "p.jpg"), 8, 8)
    assert red > 200
    assert green < 60
    assert blue < 60


def test_palette_with_transparency(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=0)
    loaded = load_image(tmp_path / "p.png")
    assert loaded.getpixel((0, 0))[3] == 0
    assert loaded.getpixel((1, 0)) == (*GREEN, 255)


def test_gray_with_alpha_and_color_key(tmp_path):
    Image.new("LA", (2, 2), (90, 40)).save(tmp_path / "la.png")
    assert load_image(tmp_path / "la.png").getpixel((0, 0)) == (90, 90, 90, 40)
    key = Image.new("RGB", (2, 1), BLUE)
    key.putpixel((1, 0), RED)
    key.save(tmp_path / "key.png", transparency=BLUE)
    assert [load_image(tmp_path / "key.png").getpixel((x, 0))[3] for x in range(2)] == [0, 255]


def test_animation_gives_the_first_frame_and_a_warning(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="first"):
        assert _rgb(load_image(tmp_path / "a.gif"), 0, 0) == RED


def test_color_profile_is_applied(tmp_path):
    """100 of linear light is sRGB's 168; a profile of another color space is left aside with a warning."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    for profile, mode, expected in ((srgb, "RGB", 100), (_linear_gray_profile(), "L", 168)):
        Image.new("L", (4, 4), 100).convert(mode).save(tmp_path / "p.png", icc_profile=profile.tobytes())
        assert abs(_rgb(load_image(tmp_path / "p.png"), 0, 0)[0] - expected) <= 2
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    Image.new("RGB", (4, 4), (10, 20, 30)).save(tmp_path / "bad.png", icc_profile=lab.tobytes())
    with pytest.warns(UserWarning, match="profile"):
        assert _rgb(load_image(tmp_path / "bad.png"), 0, 0) == (10, 20, 30)


def _linear_gray_profile() -> ImageCms.ImageCmsProfile:
    """A minimal ICC v2 gray profile with gamma 1 (linear light)."""
    d50 = struct.pack(">4siiii", b"XYZ ", 0, 0xF6D6, 0x10000, 0xD32D)
    curve = struct.pack(">4siI", b"curv", 0, 0)
    text = b"desc" + struct.pack(">II", 0, 2) + b"g\0" + b"\0" * 78
    text += b"\0" * (-len(text) % 4)
    entries, body, offset = [], b"", 128 + 4 + 3 * 12
    for tag, data in ((b"wtpt", d50), (b"kTRC", curve), (b"desc", text)):
        entries.append(struct.pack(">4sII", tag, offset + len(body), len(data)))
        body += data
    table = struct.pack(">I", 3) + b"".join(entries) + body
    header = struct.pack(
        ">I4sI4s4s4s12s4s", 128 + len(table), b"\0" * 4, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"\0" * 12, b"acsp"
    )
    header += b"\0" * 28 + struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return ImageCms.ImageCmsProfile(io.BytesIO(header.ljust(128, b"\0") + table))


def test_premultiplied_is_recognised_and_undone():
    straight = _disc()
    multiplied = straight.copy()
    multiplied[..., :3] = np.rint(straight[..., :3] * (straight[..., 3:] / 255.0))
    assert is_premultiplied(multiplied)
    assert not is_premultiplied(straight)
    visible = straight[..., 3] > 40
    for restored in (load_image(multiplied), load_image(multiplied, alpha="premultiplied")):
        assert np.abs(np.asarray(restored).astype(int) - straight)[visible].max() <= 4
    assert np.array_equal(np.asarray(load_image(multiplied, alpha="straight")), multiplied)


@pytest.mark.parametrize("color", [(0, 0, 0), (30, 30, 30), (255, 255, 255), (250, 10, 10)])
def test_straight_alpha_is_left_alone(color):
    straight = _disc(color)
    visible = straight[..., 3] > 0
    assert np.array_equal(np.asarray(load_image(straight))[visible], straight[visible])


def test_large_pictures_are_reduced_and_huge_ones_refused(tmp_path):
    Image.new("RGB", (3 * MAX_SIDE, 40), RED).save(tmp_path / "wide.png")
    assert load_image(tmp_path / "wide.png").size == (MAX_SIDE, 13)
    with pytest.raises(InputError, match=r"6144 x 40 pixels.*reduce"):
        load_image(tmp_path / "wide.png", max_pixels=1000)


@pytest.mark.parametrize("side", [13_000, 20_000, 60_000])
def test_bombs_are_refused_before_decoding(tmp_path, side):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "bomb.png").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"bomb.png.*(13000 x 13000|\d+ million).*reduce"):
            load_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"no picture at all", "not a picture"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG.*PNG"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC.*JPEG"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 40, "video"),
        (b"%PDF-1.7", "document"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "bad.png"),
    ],
)
def test_other_files_say_what_to_do(tmp_path, content, words):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match=f"(?s)bad.png.*{words}" if words != "bad.png" else words) as caught:
        load_image(tmp_path / "bad.png")
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_address(tmp_path):
    with pytest.raises(InputError, match=r"no file.*nowhere.png"):
        load_image(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="folder"):
        load_image(tmp_path)
    with pytest.raises(InputError, match="download"):
        load_image("https://example.org/cat.png")
    with pytest.raises(InputError):
        load_image("a\0b.png")


def test_one_pixel_is_still_a_picture():
    assert load_image(Image.new("L", (1, 1), 7)).getpixel((0, 0)) == (7, 7, 7, 255)


def test_arrays():
    gray = np.array([[0.0, 0.5, 1.0]])
    assert [_rgb(load_image(gray), x, 0)[0] for x in range(3)] == [0, 128, 255]
    assert load_image(np.full((3, 2, 4), 65535, np.uint16)).getpixel((1, 2)) == (255,) * 4
    assert load_image(np.ones((2, 2, 1), bool)).getpixel((0, 0)) == (255,) * 4
    for bad in (np.zeros((2, 2, 5)), np.zeros(4), np.zeros((0, 4)), np.full((2, 2), np.nan), np.full((2, 2), 3.0)):
        with pytest.raises(InputError):
            load_image(bad)
    with pytest.raises(InputError, match="int64"):
        load_image(np.zeros((2, 2), np.int64))


def _encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8))
    if kind == "GIF":
        image.save(stream, kind, save_all=True, append_images=[image.rotate(90)])
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(stream, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
    return stream.getvalue()


_FILES = {kind: _encoded(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000", "ICO", "AVIF")}


@settings(max_examples=250, deadline=None)
@given(
    kind=st.sampled_from(sorted(_FILES)),
    cut=st.floats(0, 1),
    edits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=12),
)
def test_damaged_files_give_a_picture_or_one_clear_error(tmp_path_factory, kind, cut, edits):
    data = bytearray(_FILES[kind][: max(1, round(len(_FILES[kind]) * (cut if cut < 0.9 else 1)))])
    for position, value in edits:
        data[int(position * len(data))] = value
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(bytes(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = _read_or_reason(path)
    assert getattr(outcome, "mode", "RGBA") == "RGBA"
    assert not isinstance(outcome, str) or ("fuzz.bin" in outcome and "\n" not in outcome)


def _read_or_reason(path) -> Image.Image | str:
    try:
        return load_image(path)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "BMP"])
def test_truncated_files_are_refused(tmp_path, kind):
    (tmp_path / "half").write_bytes(_FILES[kind][: len(_FILES[kind]) // 2])
    with pytest.raises(InputError, match="half"):
        load_image(tmp_path / "half")
