"""What the studio's dialogs do, in a real browser: choices, picking, painting, comparing, further photos, scenes."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright, a development dependency, is not installed")
pytest.importorskip("axe_playwright_python", reason="axe, a development dependency, is missing")

from PIL import Image
from studio_server import StudioServer
from studio_visitor import WAIT, Visitor

from mvdiff.client import Client

pytestmark = pytest.mark.slow


@pytest.fixture
def results(visitor: Visitor, made: str) -> Visitor:
    """A visitor in front of a finished run of two hypotheses."""
    visitor.page.goto(f"{visitor.url}#run/{made}")
    visitor.wait_for_results()
    return visitor


def degrees(transform: str) -> float:
    return float(transform.removeprefix("rotate(").removesuffix(")"))


def desk(folder: Path) -> Path:
    rgb = np.full((96, 160, 3), 235, np.uint8)
    rgb[30:70, 20:60], rgb[30:70, 100:140] = (190, 40, 30), (30, 60, 180)
    Image.fromarray(rgb).save(folder / "desk.png")
    return folder / "desk.png"


def pixels(visitor: Visitor, canvas: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(visitor.page.locator(canvas).screenshot())).convert("RGB")).astype(int)


def test_choices_are_shown_with_license_seconds_and_remedy(visitor: Visitor, photo: Path, made: str) -> None:
    page = visitor.page
    visitor.drop(photo)
    ready = page.inner_text("#backbones")
    assert "Apache-2.0" in ready
    assert "Measured on this machine" in ready
    assert "once it begins" in page.inner_text("#expected")
    page.click("#missing-title")
    missing = page.inner_text("#missing")
    assert "mvdiff models pull zero123plus" in missing
    assert "non-commercial" in missing
    assert page.locator("#missing input:not([disabled])").count() == 0
    assert "color and edges alone" in page.inner_text("#segmenter")
    before = page.inner_text("#expected")
    page.fill("[name=num_hypotheses]", "32")
    page.press("[name=num_hypotheses]", "Tab")
    assert page.inner_text("#expected") != before


def test_a_place_becomes_scenes_that_open_in_their_explorer(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    place = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(place).save(tmp_path / "room.png")
    page.set_input_files("#photo", tmp_path / "room.png")
    page.locator("#prepare").wait_for()
    page.check("[name=backbone][value=embedded-scene]")
    assert page.is_hidden("#brush-add")
    page.evaluate("document.getElementById('more-settings').open = true")
    page.fill("[name=num_hypotheses]", "1")
    page.fill("[name=num_inference_steps]", "2")
    page.fill("[name=fov]", "70")
    page.click("#settings [type=submit]")
    page.locator("#working").wait_for()
    run = visitor.wait_for_results()
    assert "1 scene to walk through" in page.inner_text("#facts")
    assert page.get_attribute("#report", "src").endswith("/explorer.html")
    page.frame_locator("#report").locator("canvas").first.wait_for(state="attached")
    with Client(visitor.url) as client:
        assert client.get(f"/runs/{run}/manifest.json", dict)["inputs"]["photo"]["fov"] == 70


def test_an_object_is_picked_by_click_box_and_keyboard(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    page.set_input_files("#photo", desk(tmp_path))
    page.locator("#prepare").wait_for()
    tinted = """([x, y]) => {
        const [r, g, b] = document.getElementById("matte").getContext("2d").getImageData(x, y, 1, 1).data;
        return [r, g, b];
    }"""
    photo_id = page.evaluate("location.hash").removeprefix("#photo/")

    def picked(part: str) -> None:
        page.wait_for_function("part => document.getElementById('matte-note').textContent.includes(part)", arg=part)

    page.click("#pick-point")
    box = page.locator("#matte").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 40 / 160, box["y"] + box["height"] * 50 / 96)
    picked("color and edges")
    page.mouse.move(2, 2)
    assert page.evaluate(tinted, [40, 50]) == [190, 40, 30]
    assert page.evaluate(tinted, [120, 50]) != [30, 60, 180]
    page.click("#pick-box")
    page.mouse.move(box["x"] + box["width"] * 90 / 160, box["y"] + box["height"] * 20 / 96)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 150 / 160, box["y"] + box["height"] * 80 / 96, steps=4)
    page.mouse.up()
    page.wait_for_function("() => !document.getElementById('matte-note').textContent.includes('Looking')")
    page.mouse.move(2, 2)
    assert page.evaluate(tinted, [120, 50]) == [30, 60, 180]
    assert page.evaluate(tinted, [40, 50]) != [190, 40, 30]
    page.click("#undo")
    assert page.evaluate(tinted, [40, 50]) == [190, 40, 30]
    page.click("#pick-point")
    page.focus("#matte")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.wait_for_function("() => !document.getElementById('matte-note').textContent.includes('Looking')")
    with Client(visitor.url) as client:
        assert client.get(f"/api/photos/{photo_id}", dict)["corrected"]


def test_a_view_is_painted_over_and_held(results: Visitor, server: StudioServer) -> None:
    page = results.page
    page.click("[aria-label='Paint over a view of hypothesis 1']")
    page.locator("#paint").wait_for()
    page.select_option("#paint-view", "2")
    page.click("#paint-form [type=submit]")
    page.wait_for_function("() => document.getElementById('paint-error').textContent.includes('paint over it first')")
    page.fill("#paint-value", "#00c800")
    box = page.locator("#paint").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle[0] - 40, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1], steps=5)
    page.mouse.up()
    page.click("#paint-form [type=submit]")
    page.locator("#working").wait_for()
    run = results.wait_for_results()
    with Client(results.url) as client:
        evidence = client.get(f"/runs/{run}/manifest.json", dict)["inputs"]["evidence"]
    assert (evidence["kind"], evidence["hypothesis"], evidence["view"]) == ("edited view", 1, 2)
    kept = np.asarray(Image.open(server.output_dir / run / "evidence.png"))
    assert np.abs(kept[16, 16].astype(int) - (0, 200, 0, 255)).max() <= 2


def test_two_hypotheses_are_compared_by_one_camera_and_cut(results: Visitor) -> None:
    page = results.page
    page.click("#compare-open")
    page.wait_for_function("() => document.getElementById('compare').dataset.azimuth === '30'", timeout=WAIT)
    whole = pixels(results, "#compare")
    width = whole.shape[1] // 2
    empty = whole[8, 8]
    halves = [np.abs(half - empty).sum(-1) > 30 for half in (whole[:, :width], whole[:, width:])]
    assert all(half.mean() > 0.02 for half in halves)

    def unlike(shown: np.ndarray) -> float:
        return np.abs(shown[:, :width] - shown[:, width : 2 * width])[8:-8, 8:-8].mean()

    page.focus("#compare")
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#compare", "data-azimuth") == "-60"
    assert "60° to the left" in page.get_attribute("#compare", "aria-label")
    turned = pixels(results, "#compare")
    assert all(np.abs(turned - whole)[:, part].max() > 60 for part in (slice(0, width), slice(width, None)))
    page.select_option("#compare-axis", "y")
    cut = pixels(results, "#compare")
    inside = np.abs(cut - (199, 84, 112)).sum(-1) < 12
    assert inside[:, :width].any()
    assert inside[:, width:].any()
    page.select_option("#compare-left", "1")
    page.locator("#compare[aria-label^='Hypotheses 1 and 1']").wait_for()
    page.select_option("#compare-axis", "none")
    same = pixels(results, "#compare")
    assert unlike(same) < unlike(turned) / 2


def test_the_next_photo_is_drawn_and_leads_to_the_dial(results: Visitor) -> None:
    page = results.page
    page.click("#next")
    page.locator("#next-take").wait_for(timeout=WAIT)
    assert page.inner_text("#next-title").startswith("Stand ")
    assert page.is_visible("#next-drawing")
    assert "bits" in page.inner_text("#next-note")
    turned = degrees(page.get_attribute("#next-above", "transform"))
    page.click("#next-take")
    assert page.is_visible("#second-dialog")
    assert abs(degrees(page.get_attribute("#hand", "transform")) - turned) <= 2.5  # the dial has steps of 5


def test_an_unknown_azimuth_is_estimated_and_told(results: Visitor, photo: Path) -> None:
    page = results.page
    page.click("#second")
    page.set_input_files("#second-photo", photo)
    page.check("#unknown")
    assert page.is_disabled("#azimuth")
    page.check("#second-weigh")
    page.click("#second-form [type=submit]")
    page.locator("#working").wait_for()
    results.wait_for_results()
    assert "The azimuth was estimated" in page.inner_text("#facts")


def test_several_photos_wait_beside_each_other(visitor: Visitor, photo: Path, tmp_path: Path) -> None:
    visitor.page.set_input_files("#photo", [photo, desk(tmp_path)])
    visitor.page.locator("#siblings button").nth(1).click()
    visitor.page.wait_for_function("() => document.getElementById('matte').width === 160")
    assert visitor.page.get_attribute("#siblings button:nth-child(2)", "aria-current") == "true"
