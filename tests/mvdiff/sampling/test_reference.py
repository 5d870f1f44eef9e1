"""prepare and ReferenceImage: recentered, resampled without rims, and true about where the pixels came from."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mvdiff.sampling.reference import MARGIN, ReferenceImage, prepare
from recon.core.cameras import Cameras
from recon.core.errors import InputError


def _box(size=(300, 200), box=(40, 50, 140, 90), color=(255, 0, 0)) -> Image.Image:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    image.paste((*color, 255), box)
    return image


def test_recentered_with_margin():
    reference = prepare(_box())
    assert reference.rgba.shape == (4, 128, 128)
    assert reference.crop == pytest.approx((90 - 57.5, 70 - 57.5, 115.0))
    assert reference.source_size == (300, 200)
    columns = (reference.rgba[3] > 0.5).any(0).nonzero()
    rows = (reference.rgba[3] > 0.5).any(1).nonzero()
    assert columns.max() - columns.min() + 1 == pytest.approx(128 / MARGIN, abs=1)
    assert rows.max() - rows.min() + 1 == pytest.approx(128 / MARGIN * 0.4, abs=1.5)
    assert columns.float().mean() == pytest.approx(63.5, abs=0.5)
    assert rows.float().mean() == pytest.approx(63.5, abs=0.5)


@settings(max_examples=30, deadline=None)
@given(
    left=st.integers(0, 60),
    top=st.integers(0, 60),
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    size=st.sampled_from([32, 128]),
)
def test_mass_and_color_survive_resampling(left, top, width, height, size):
    """Alpha's area, scaled, is kept down and up; every visible pixel is the object's own color."""
    picture = _box((left + width + 5, top + height + 5), (left, top, left + width, top + height), (200, 100, 50))
    reference = prepare(picture, size=size)
    scale = size / reference.crop[2]
    alpha = reference.rgba[3]
    assert alpha.sum().item() == pytest.approx(width * height * scale**2, rel=0.06, abs=4)
    visible = alpha > 0.02
    expected = torch.tensor([200, 100, 50])[:, None] / 255
    assert (reference.rgba[:3, visible] - expected).abs().max() < 0.02
    assert (reference.rgba[:3, alpha == 0] == 0).all()
    assert reference.rgba.min() >= 0
    assert reference.rgba.max() <= 1


def test_pixels_of_a_gradient_land_where_the_crop_says():
    """A ramp in the source: the value at any reference pixel tells the source position that it came from."""
    width, height = 400, 300
    x = np.broadcast_to(np.arange(width) + 0.5, (height, width))
    y = np.broadcast_to((np.arange(height) + 0.5)[:, None], (height, width))
    rgba = np.zeros((height, width, 4), np.float32)
    rgba[..., 0], rgba[..., 1], rgba[60:260, 100:320, 3] = x / width, y / height, 1.0
    reference = prepare(rgba)
    left, top, side = reference.crop
    center = (torch.arange(128) + 0.5) / 128 * side
    inside = reference.rgba[3] > 0.999
    expected_x = ((left + center) / width).expand(128, 128)
    expected_y = ((top + center) / height)[:, None].expand(128, 128)
    assert inside.sum() > 8000
    # half a source pixel, and the 8-bit steps
    assert (reference.rgba[0] - expected_x)[inside].abs().max() < 1.0 / width + 2 / 255
    assert (reference.rgba[1] - expected_y)[inside].abs().max() < 1.0 / height + 2 / 255


def test_specks_do_not_move_the_crop():
    clean, dirty = _box(), _box()
    for xy in [(290, 5), (3, 190), (280, 180)]:
        dirty.putpixel(xy, (0, 255, 0, 255))
    assert prepare(dirty).crop == prepare(clean).crop
    part = _box()
    part.paste((255, 0, 0, 255), (250, 150, 270, 170))  # a part, not a speck
    assert prepare(part).crop != prepare(clean).crop


def test_object_at_the_picture_edge_is_padded():
    reference = prepare(_box(box=(0, 0, 100, 100)))
    assert reference.crop == pytest.approx((-7.5, -7.5, 115.0))
    assert reference.rgba[3, :6].max() == 0
    assert reference.rgba[3, 64, 64] == 1


def test_framed_crop_parameters_are_those_of_the_default_camera():
    """The origin and the bounding sphere, projected by a default camera into the source, land where the crop says."""
    reference = prepare(_box(), framing="keep")
    cx, cy, log_scale = reference.crop_parameters()
    camera = Cameras.orbit(0.0, size=reference.source_size)
    # At the camera's own distance the sphere's radius is seen across the axis.
    pixels, _ = camera.project(torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, -0.5, 0.0]]))
    left, top, side = reference.crop
    unit = (pixels - torch.tensor([left, top])) / (side / 2) - 1
    assert unit[0].tolist() == pytest.approx([cx, cy], abs=1e-5)
    assert (unit[1, 0] - unit[0, 0]).item() == pytest.approx(math.exp(log_scale), rel=1e-5)
    assert (unit[2, 1] - unit[0, 1]).item() == pytest.approx(math.exp(log_scale), rel=1e-5)
    assert reference.framed
    with pytest.raises(ValueError, match="keep"):
        prepare(_box()).crop_parameters()


def test_opaque_pictures_with_and_without_matting():
    opaque = Image.new("RGB", (300, 200), (240, 240, 240))
    opaque.paste((255, 0, 0), (40, 50, 140, 90))
    found = prepare(opaque)
    assert found.matte.method == "plain background"
    assert found.crop == pytest.approx(prepare(_box()).crop, abs=1)
    whole = prepare(opaque, matting=False)
    assert whole.matte.method == "none"
    assert whole.crop == pytest.approx((150 - 172.5, 100 - 172.5, 345.0))


def test_save_load_is_exact(tmp_path):
    soft = np.zeros((90, 120, 4), np.float32)
    y, x = np.mgrid[:90, :120]
    soft[..., :3] = np.random.default_rng(0).uniform(0, 1, (90, 120, 3))
    soft[..., 3] = np.clip((35 - np.hypot(x - 60, y - 45)) / 6, 0, 1)
    reference = prepare(soft, framing="keep")
    assert reference.save(tmp_path).name == "reference.png"
    loaded = ReferenceImage.load(tmp_path)
    assert torch.equal(loaded.rgba, reference.rgba)
    assert (loaded.crop, loaded.source_size, loaded.matte, loaded.framed) == (
        reference.crop,
        reference.source_size,
        reference.matte,
        True,
    )
    assert torch.equal(loaded.to("cpu").rgba, reference.rgba)
    (tmp_path / "reference.json").write_text("{}")
    with pytest.raises(InputError, match="no readable reference"):
        ReferenceImage.load(tmp_path)


def test_repr_is_one_short_line():
    assert repr(prepare(_box())) == "ReferenceImage(128x128 from 115 px at (33, 13) of 300x200, alpha 0.60)"


@pytest.mark.parametrize("side", [1, 4, 7])
def test_too_small(side):
    with pytest.raises(InputError, match=f"{side} pixels large"):
        prepare(_box(box=(40, 50, 40 + side, 50 + side)))
    with pytest.raises(InputError, match=f"only {side} x {side} pixels"):
        prepare(Image.new("RGB", (side, side)))


def test_errors_name_the_file(tmp_path):
    Image.new("RGB", (50, 50), (255, 255, 255)).save(tmp_path / "blank.png")
    with pytest.raises(InputError, match=r"blank\.png' shows nothing but background"):
        prepare(tmp_path / "blank.png")
    Image.new("RGBA", (50, 50)).save(tmp_path / "clear.png")
    with pytest.raises(InputError, match=r"clear\.png' is fully transparent"):
        prepare(tmp_path / "clear.png")


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 60),
    height=st.integers(1, 60),
    channels=st.sampled_from([1, 3, 4]),
    kind=st.sampled_from(["noise", "flat", "patch", "line"]),
    matting=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_picture_gives_a_reference_or_an_input_error(width, height, channels, kind, matting, seed):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (height, width, channels)).astype(np.uint8)
    if kind == "flat":
        pixels[:] = pixels[0, 0]
    elif kind == "patch":
        pixels[:] = 200
        pixels[height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = generator.integers(0, 256, channels)
    elif kind == "line":
        pixels[:] = 255
        pixels[generator.integers(height)] = 0
    rgba = _prepare_or_none(pixels, matting)
    assert rgba is None or (rgba.shape == (4, 128, 128) and bool(torch.isfinite(rgba).all()))


def _prepare_or_none(pixels: np.ndarray, matting: bool) -> torch.Tensor | None:
    try:
        return prepare(pixels, matting=matting).rgba
    except InputError:
        return None


def test_the_photo_keeps_its_detail_for_textures(tmp_path):
    from mvdiff.sampling.photo_camera import PhotoCamera

    picture = Image.new("RGBA", (600, 400))
    picture.paste((200, 40, 40, 255), (100, 50, 400, 350))
    picture.paste((20, 40, 240, 255), (100, 50, 103, 350))  # a line of three pixels
    reference = prepare(picture)
    assert reference.detail.shape[-1] == 345
    reference.save(tmp_path)
    loaded = ReferenceImage.load(tmp_path)
    assert torch.equal(loaded.detail, reference.detail)
    cameras = PhotoCamera.from_parameters(torch.tensor([[0.2, 0.1, 0.0, -0.2], [0.1, 0.0, 0.0, -0.1]]))
    views = reference.views(cameras)
    assert views.rgb.shape == (2, 1, 3, 345, 345)
    # The same camera as the network's picture has, with more pixels.
    assert torch.allclose(views.cameras.resized(128, 128).intrinsics[:, 0], cameras.cameras(128).intrinsics, rtol=1e-4)
    assert prepare(picture.resize((120, 80))).detail is None
