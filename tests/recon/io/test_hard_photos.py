"""Drawings, white on white, window screenshots, HEIC."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from recon.io.images.files import load_image
from recon.io.images.matting import find_matte


def _matte(image: Image.Image):
    return find_matte(image.convert("RGBA"))


@pytest.mark.parametrize("stroke", [1, 2, 4])
@pytest.mark.parametrize("paper", [(255, 255, 255), (250, 240, 220)])
def test_a_drawing_keeps_its_inside(stroke: int, paper: tuple[int, int, int]):
    image = Image.new("RGB", (320, 320), paper)
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 260, 260), outline=(10, 10, 10), width=stroke)
    draw.line((160, 60, 160, 260), fill=(10, 10, 10), width=stroke)
    alpha, report = _matte(image)
    assert alpha[160, 110] == 1
    assert alpha[20, 20] == 0
    assert report.confidence < 0.75


def test_the_hole_of_a_thick_ring_stays_a_hole():
    image = Image.new("RGB", (320, 320), (255, 255, 255))
    ImageDraw.Draw(image).ellipse((60, 60, 260, 260), outline=(160, 40, 40), width=30)
    alpha, report = _matte(image)
    assert alpha[160, 160] == 0
    assert report.confidence > 0.9


def test_white_on_white_is_not_certain():
    """A ball that is darker than the paper on one side only: where its edge is, nobody can say."""
    y, x = np.mgrid[:256, :256]
    inside = (x - 128) ** 2 + (y - 128) ** 2 < 80**2
    shade = np.where(inside, 255 - np.clip((x - 128) * 1.2, 0, 120), 255)
    _, report = _matte(Image.fromarray(np.repeat(shade[..., None], 3, -1).astype(np.uint8)))
    assert report.confidence < 0.75
    assert report.warnings


@pytest.mark.parametrize("radius", [0, 8])
def test_a_window_is_not_taken_for_the_object_without_a_word(radius: int):
    image = Image.new("RGBA", (320, 320), (0, 0, 0, 40))
    ImageDraw.Draw(image).rounded_rectangle((32, 32, 287, 287), radius, fill=(200, 210, 220, 255))
    ImageDraw.Draw(image).ellipse((120, 120, 200, 200), fill=(200, 40, 40, 255))
    _, report = find_matte(image)
    assert any("rectangle" in warning for warning in report.warnings)


def test_a_round_cut_out_is_certain():
    image = Image.new("RGBA", (320, 320))
    ImageDraw.Draw(image).ellipse((60, 60, 260, 260), fill=(160, 40, 40, 255))
    assert find_matte(image)[1] == type(find_matte(image)[1])("alpha", 1.0)


def test_heic_photos_are_read_with_the_optional_part(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.new("RGB", (64, 48), (200, 60, 30)).save(tmp_path / "a.heic", quality=90)
    pixels = np.asarray(load_image(tmp_path / "a.heic"))
    assert pixels.shape == (48, 64, 4)
    assert np.abs(pixels[24, 32, :3].astype(int) - (200, 60, 30)).max() < 12
