"""The studio in a real browser: drop a photo, judge hypotheses, export; two people, reloads, a phone, accessibility."""

import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright, a development dependency, is not installed")
pytest.importorskip("axe_playwright_python", reason="axe, a development dependency, is missing")

from studio_server import StudioServer
from studio_visitor import WAIT, Visitor, arrive

from mvdiff.client import Client
from recon.io.meshes.files import load_mesh

pytestmark = pytest.mark.slow


def test_from_a_photo_to_an_export(visitor: Visitor, photo: Path, tmp_path: Path) -> None:
    page = visitor.page
    visitor.drop(photo)
    assert "alpha" in page.inner_text("#matte-note")
    visitor.sample(2)
    page.locator("#previews img").first.wait_for(timeout=WAIT)
    first = visitor.wait_for_results()
    assert page.locator(".card").count() == 2
    page.click("[aria-label='Reject hypothesis 0']")
    page.click("[aria-label='Keep hypothesis 1']")
    assert page.get_attribute("[aria-label='Reject hypothesis 0']", "aria-pressed") == "true"
    page.click("#more")
    page.locator("#working").wait_for()
    page.wait_for_function("first => decodeURIComponent(location.hash) !== '#run/' + first", arg=first)
    second = visitor.wait_for_results()
    assert second != first
    with Client(visitor.url) as client:
        assert client.get(f"/api/runs/{second}", dict)["parent"] == first
    page.click("#export")
    page.select_option("#export-item", "1")
    page.select_option("#export-format", "stl")
    page.fill("#size", "40")
    page.click("#export-form [type=submit]")
    page.locator("#download").wait_for(timeout=WAIT)
    assert "mm" in page.inner_text("#export-note")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "object.stl")
    mesh = load_mesh(tmp_path / "object.stl")
    assert float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max()) == pytest.approx(40, rel=0.01)
    title = page.frame_locator("#report").locator("h1")
    title.wait_for(state="attached")  # Chromium may lay out a frame of another origin only where it is on screen
    assert title.text_content() == photo.name


def test_a_second_photo(visitor: Visitor, made: str, photo: Path) -> None:
    page = visitor.page
    page.goto(f"{visitor.url}#run/{made}")
    page.locator("#second").click()
    page.set_input_files("#second-photo", photo)
    page.fill("#azimuth", "-60")
    assert page.inner_text("#azimuth-text") == "60° to the left"
    page.click("#second-form [type=submit]")
    page.locator("#working").wait_for()
    run = visitor.wait_for_results()
    with Client(visitor.url) as client:
        assert client.get(f"/api/runs/{run}", dict)["verb"] == "refine"


def test_the_matte_is_corrected_by_brush_keyboard_and_undo(visitor: Visitor, photo: Path) -> None:
    page = visitor.page
    visitor.drop(photo)
    shown = "document.getElementById('matte').getContext('2d').getImageData(32, 36, 1, 1).data.join()"
    before = page.evaluate(shown)
    page.click("#brush-remove")
    box = page.locator("#matte").bounding_box()
    center = box["x"] + box["width"] * 32.5 / 64, box["y"] + box["height"] * 36.5 / 64
    page.mouse.move(center[0] - 5, center[1])
    page.mouse.down()
    page.mouse.move(center[0] + 5, center[1], steps=4)
    page.mouse.up()
    page.mouse.move(5, 5)
    painted = page.evaluate(shown)
    assert painted != before
    page.click("#undo")
    assert page.evaluate(shown) == before
    page.focus("#matte")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    visitor.sample(1)
    run = visitor.wait_for_results()
    with Client(visitor.url) as client:
        photo_id = page.evaluate("fetch('/api/jobs').then(r => r.json()).then(jobs => jobs[0].request.photo)")
        assert client.get(f"/api/photos/{photo_id}", dict)["corrected"]
        assert client.get(f"/api/runs/{run}", dict)["complete"]


def test_a_reload_in_the_middle_changes_nothing_and_cancel_ends_it(visitor: Visitor, photo: Path) -> None:
    page = visitor.page
    visitor.drop(photo)
    visitor.sample(16, steps=100)
    page.locator("#previews img").first.wait_for(timeout=WAIT)
    place = page.evaluate("location.hash")
    page.reload()
    page.locator("#previews img").first.wait_for(timeout=WAIT)
    assert page.evaluate("location.hash") == place
    page.locator("#runs button[aria-current=true]").wait_for()
    page.click("#cancel")
    page.wait_for_function("() => document.getElementById('stage').textContent === 'Cancelled.'")


def test_two_people_do_not_see_each_other(visitor: Visitor, browser, server: StudioServer, photo: Path) -> None:
    other = arrive(browser, server)
    for person in (visitor, other):
        person.drop(photo)
        person.sample(1)
    runs = [person.wait_for_results() for person in (visitor, other)]
    assert runs[0] != runs[1]
    for person, own, foreign in ((visitor, *runs), (other, *reversed(runs))):
        person.page.reload()
        person.page.locator("#runs button").first.wait_for()
        titles = person.page.eval_on_selector_all("#runs button", "all => all.map(each => each.title)")
        assert own in titles
        assert foreign not in titles
    other.page.context.close()


def test_a_run_of_the_command_line_is_opened(visitor: Visitor, server: StudioServer, finished) -> None:
    shutil.copytree(finished[0], server.output_dir / "from the shell")
    visitor.page.reload()
    visitor.page.click("#runs button[title='from the shell']")
    assert visitor.wait_for_results() == "from the shell"
    assert visitor.page.locator(".card").count() == 3
    image = visitor.page.locator(".strip img").first
    assert image.evaluate("async image => { await image.decode(); return image.naturalWidth; }") == 32


def test_errors_are_told(visitor: Visitor, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    visitor.page.set_input_files("#photo", tmp_path / "notes.png")
    visitor.page.locator("#message").wait_for()
    assert "not a picture" in visitor.page.inner_text("#message")
    visitor.complaints.clear()  # the browser's own note of the refusal


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_keeps_people_out(
    browser, server: StudioServer, made: str, photo: Path, width: int, scheme: str, tmp_path: Path
) -> None:
    """On a phone and a desk, light and dark: no sideways scrolling, and no serious fault for axe-core."""
    arrived = arrive(browser, server, viewport={"width": width, "height": 844}, color_scheme=scheme)
    page, found = arrived.page, []

    def check(name: str) -> None:
        time.sleep(0.5)
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        found.extend(f"{name}: {fault}" for fault in arrived.faults())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name

    check("start")
    arrived.drop(photo)
    page.evaluate("for (const each of document.querySelectorAll('#prepare details')) each.open = true")
    check("prepare")
    page.goto(f"{server.url}#run/{made}")
    arrived.wait_for_results()
    page.evaluate("document.getElementById('report').remove()")  # a page of its own, with tests of its own
    check("results")
    page.click("#second")
    check("second")
    page.click("#second-dialog [data-close]")
    page.click("#next")
    page.locator("#next-take").wait_for(timeout=WAIT)
    check("next")
    page.click("#next-dialog [data-close]")
    page.click("#compare-open")
    page.locator("#compare[data-azimuth]").wait_for(timeout=WAIT)
    check("compare")
    page.click("#compare-dialog [data-close]")
    page.click("[aria-label='Paint over a view of hypothesis 0']")
    check("paint")
    page.click("#paint-dialog [data-close]")
    page.click("#export")
    check("export")
    assert found == []


def test_the_way_is_open_to_keyboards(visitor: Visitor, made: str) -> None:
    page = visitor.page
    page.goto(f"{visitor.url}#run/{made}")
    visitor.wait_for_results()
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id"))
    assert {
        "new",
        "Keep hypothesis 0",
        "Reject hypothesis 1",
        "second",
        "next",
        "compare-open",
        "export",
        "open",
    } <= reached
    page.focus("[aria-label='Keep hypothesis 0']")
    page.keyboard.press("Enter")
    assert page.is_enabled("#more")
