"""find_matte and cut_out on composites whose alpha is known."""

import sys
import types

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from recon.core.errors import InputError
from recon.io.images import matting
from recon.io.images.matting import MatteReport, cut_out, find_matte
from recon.io.images.segment import without_specks

SIZE = 256


def _mug(size: int = SIZE) -> np.ndarray:
    """Straight RGBA in 0…1 of a striped mug with a handle that one sees through, antialiased."""
    big = Image.new("RGBA", (4 * size, 4 * size))
    draw = ImageDraw.Draw(big)
    s = 4 * size / 256
    draw.ellipse((140 * s, 80 * s, 226 * s, 180 * s), fill=(180, 60, 40, 255))
    draw.ellipse((158 * s, 98 * s, 208 * s, 162 * s), fill=(0, 0, 0, 0))
    draw.rounded_rectangle((50 * s, 60 * s, 170 * s, 210 * s), 20 * s, fill=(60, 90, 170, 255))
    draw.rectangle((50 * s, 120 * s, 170 * s, 140 * s), fill=(230, 200, 60, 255))
    rgba = np.asarray(big).astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    rgba = cv2.resize(rgba, (size, size), interpolation=cv2.INTER_AREA)
    rgba[..., :3] /= np.maximum(rgba[..., 3:], 1e-6)
    return rgba


def _backgrounds(size: int = SIZE) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    shade = 0.35 + 0.45 * y + 0.1 * x
    vignette = 0.9 - 0.5 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    return {
        "white": np.ones((size, size, 3)),
        "black": np.zeros((size, size, 3)),
        "grey gradient": np.repeat(shade[..., None], 3, -1),
        "vignette": vignette[..., None] * np.array([1, 0.95, 0.85]),
        "noise": np.array([0.75, 0.8, 0.7]) + rng.normal(0, 0.05, (size, size, 3)),
    }


def _composite(rgba: np.ndarray, background: np.ndarray) -> Image.Image:
    mixed = rgba[..., :3] * rgba[..., 3:] + background * (1 - rgba[..., 3:])
    return Image.fromarray(np.rint(mixed.clip(0, 1) * 255).astype(np.uint8)).convert("RGBA")


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


@pytest.mark.parametrize("name", _backgrounds())
def test_plain_backgrounds(name):
    mug = _mug()
    cut, report = cut_out(_composite(mug, _backgrounds()[name]))
    assert report.method == "plain background"
    assert report.confidence > 0.9
    assert not report.warnings
    assert _iou(cut[..., 3], mug[..., 3]) > 0.985
    assert cut[130, 185, 3] < 0.01  # seen through the handle
    # No bleeding: where the object is soft its own color is found, not the mixture with the background.
    soft = (mug[..., 3] > 0.2) & (mug[..., 3] < 0.8) & (cut[..., 3] > 0.05)
    assert np.abs(cut[soft, :3] - mug[soft, :3]).mean() < 0.06


def test_soft_edges_are_unmixed():
    mug = _mug()
    alpha, _ = find_matte(_composite(mug, _backgrounds()["white"]))
    soft = (mug[..., 3] > 0.1) & (mug[..., 3] < 0.9)
    assert np.abs(alpha - mug[..., 3])[soft].mean() < 0.1


def test_highlights_are_no_holes():
    """A white highlight that fades into a dark ball, on a white ground."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    ball = np.clip(90 - np.hypot(x, y) + 0.5, 0, 1)
    gleam = np.clip(1.3 * np.exp(-((x + 30) ** 2 + (y + 30) ** 2) / 500), 0, 1)[..., None]
    color = gleam + (1 - gleam) * np.array([0.2, 0.3, 0.6])
    alpha, _ = find_matte(_composite(np.dstack([color, ball]).astype(np.float32), np.ones((SIZE, SIZE, 3))))
    assert _iou(alpha, ball) > 0.985


def test_the_network_on_a_busy_background():
    mug = _mug()
    rng = np.random.default_rng(3)
    patches = cv2.resize(
        rng.uniform(0.1, 0.9, (7, 7, 3)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC
    )
    patches[..., 2] *= 0.3  # blue is the mug's alone
    alpha, report = find_matte(_composite(mug, patches))
    again, _ = find_matte(_composite(mug, patches))
    assert report.method == "network"
    assert report.confidence < 0.9
    assert _iou(alpha, mug[..., 3]) > 0.85
    assert np.array_equal(alpha, again)


def test_a_used_alpha_channel_is_kept_as_it_is():
    rgba = np.rint(_mug() * 255).astype(np.uint8)
    alpha, report = find_matte(Image.fromarray(rgba))
    assert report == MatteReport("alpha", 1.0)
    assert np.array_equal(np.rint(alpha * 255), rgba[..., 3])
    cut, _ = cut_out(Image.fromarray(rgba))
    assert np.array_equal(np.rint(cut[..., :3] * 255)[rgba[..., 3] > 0], rgba[rgba[..., 3] > 0][:, :3])
    assert (cut[rgba[..., 3] == 0] == 0).all()


def test_without_matting_the_picture_is_taken_whole():
    cut, report = cut_out(_composite(_mug(), np.ones((SIZE, SIZE, 3))), matting=False)
    assert report.method == "none"
    assert cut[..., 3].min() == 1


def test_touching_all_borders_is_reported():
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[28:36], rgba[:, 28:36] = 255, 255
    _, report = find_matte(Image.fromarray(rgba))
    assert "four borders" in report.warnings[0]


@pytest.mark.parametrize("color", [(255, 255, 255), (10, 200, 30)])
def test_a_uniform_picture_is_nothing_but_background(color):
    with pytest.raises(InputError, match="nothing but background"):
        find_matte(Image.new("RGBA", (80, 60), (*color, 255)))


@pytest.mark.parametrize("name", ["grey gradient", "noise", "vignette"])
def test_backgrounds_alone_are_no_object(name):
    with pytest.raises(InputError, match="nothing but background"):
        find_matte(_composite(np.zeros((SIZE, SIZE, 4), np.float32), _backgrounds()[name]))


def test_fully_transparent():
    for matting_wanted in (True, False):
        with pytest.raises(InputError, match="fully transparent"):
            cut_out(Image.new("RGBA", (30, 30), (200, 10, 10, 0)), matting=matting_wanted)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 40), (40, 3), (9, 9)])
def test_tiny_pictures_do_not_crash(size):
    values = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    try:
        alpha, _ = find_matte(Image.fromarray(values).convert("RGBA"))
    except InputError:
        return
    assert alpha.shape == (size[1], size[0])


def test_rembg_is_used_only_when_its_model_is_on_disk(monkeypatch, tmp_path):
    busy = np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    picture = Image.fromarray(busy).convert("RGBA")
    half = Image.new("L", (32, 32))
    half.paste(255, (0, 0, 16, 32))
    stand_in = types.ModuleType("rembg")
    stand_in.new_session = lambda name: name
    stand_in.remove = lambda image, session, only_mask: half
    monkeypatch.setitem(sys.modules, "rembg", stand_in)
    monkeypatch.setattr(matting.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    monkeypatch.setenv("MODEL_CHECKSUM_DISABLED", "1")
    assert not matting.rembg_available()
    (tmp_path / "u2net.onnx").write_bytes(b"weights")
    alpha, report = find_matte(picture)
    assert report.method == "rembg"
    assert alpha[:, :16].min() == 1
    assert alpha[:, 16:].max() == 0


def test_specks_go_and_parts_stay():
    mask = np.zeros((100, 100), bool)
    mask[10:60, 10:60] = mask[80:90, 80:90] = mask[5, 90] = True
    cleaned = without_specks(mask)
    assert cleaned[85, 85]
    assert not cleaned[5, 90]
    assert cleaned.sum() == 2600


def test_report_round_trip():
    report = MatteReport("grabcut", 0.4, ("careful",))
    assert MatteReport.from_dict(report.to_dict()) == report


def test_soft_ground_shadow_is_left_out():
    mug = _mug()
    y, x = np.mgrid[:SIZE, :SIZE]
    shadow = 0.25 * np.exp(-(((x - 120) / 60) ** 2) - ((y - 208) / 10) ** 2)
    ground = np.repeat((0.94 - shadow)[..., None], 3, -1)
    alpha, _ = find_matte(_composite(mug, ground))
    assert _iou(alpha, mug[..., 3]) > 0.96
    assert (mug[..., 3] + (shadow > 0.03)).clip(0, 1).sum() > 1.1 * mug[
        ..., 3
    ].sum()  # else there is nothing to leave out


def test_a_hard_shadow_is_left_out_but_not_certain():
    """A hard shadow has an edge like an object's: the network tells them apart."""
    mug = _mug()
    y, x = np.mgrid[:SIZE, :SIZE]
    shadow = (((x - 160) / 90) ** 2 + ((y - 208) / 22) ** 2 < 1) * 0.45
    ground = np.array([0.9, 0.85, 0.75]) * (1 - shadow[..., None])
    _, clean = find_matte(_composite(mug, np.ones((SIZE, SIZE, 3)) * np.array([0.9, 0.85, 0.75])))
    alpha, shaded = find_matte(_composite(mug, ground))
    assert clean.confidence > 0.9
    assert _iou(alpha, mug[..., 3]) > 0.9
    assert shaded.confidence < clean.confidence


@pytest.mark.slow
def test_stated_confidence_is_as_often_right_as_it_says():
    """On held-out renders, none of which the map was fitted to."""
    from mvdiff.evaluation.protocols.mattes import by_kind, judged_mattes, reliability

    found = list(judged_mattes(objects=12, views=2, size=128, seed=500))
    sure = [matte for matte in found if matte.confidence >= 0.75]
    unsure = [matte for matte in found if matte.confidence < 0.5]
    assert len(sure) >= 8
    assert np.mean([matte.right for matte in sure]) > np.mean([matte.confidence for matte in sure]) - 0.2
    assert np.mean([matte.right for matte in unsure]) < 0.4
    assert len(by_kind(found)) == 6
    assert len(reliability(found)) > 3
