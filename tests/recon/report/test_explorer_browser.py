"""The explorer in a real browser: it walks, stops at walls, stays on the floor, and asks for nothing."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import furnished_room
import numpy as np
import pytest
import torch
from explorer_room import CELL, STEP, photo_camera, room_view, splat_wall
from PIL import Image

from recon.core.cameras import Cameras
from recon.rendering import render_mesh
from recon.report.explorer import write_explorer
from recon.scenes.navigation import Body

playwright = pytest.importorskip("playwright.sync_api", reason="playwright, a development dependency, is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-sandbox", "--ignore-gpu-blocklist"]
BODY = Body.person(1.0)
SIZE = (640, 400)


@dataclass
class Visit:
    """A page, what it complained about, and what it asked for."""

    page: "playwright.Page"
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def state(self) -> dict:
        return self.page.evaluate("explorer.state()")

    def jump(self, **pose) -> None:
        self.page.evaluate("pose => explorer.jump(pose)", pose)
        self.page.wait_for_timeout(100)

    def again(self) -> None:
        self.page.keyboard.press("r")
        self.page.wait_for_timeout(100)

    def hold(self, key: str, until: str, timeout: float = 60_000) -> None:
        """Keep a key down until a condition over ``s``, the state, and ``still``, seconds without motion."""
        self.page.evaluate("window.lastAt = ''; window.lastTime = performance.now()")
        self.page.keyboard.down(key)
        try:
            self.page.wait_for_function(
                f"""() => {{
                    const s = explorer.state(), at = s.at.concat(s.feet).map(x => x.toFixed(4)).join();
                    if (at !== window.lastAt) {{ window.lastAt = at; window.lastTime = performance.now(); }}
                    const still = (performance.now() - window.lastTime) / 1000;
                    return {until};
                }}""",
                timeout=timeout,
            )
        finally:
            self.page.keyboard.up(key)

    def picture(self) -> np.ndarray:
        """The scene alone, without the cards over it, when it has come to rest."""
        hide = "visible => document.querySelectorAll('.card').forEach(e => { e.style.visibility = visible })"
        self.page.evaluate(hide, "hidden")
        self.page.wait_for_timeout(400)
        path = Path(self.page.screenshot_folder) / "picture.png"
        self.page.screenshot(path=path)
        self.page.evaluate(hide, "visible")
        return np.asarray(Image.open(path).convert("RGB")).astype(float) / 255


@pytest.fixture(scope="module")
def driver() -> Iterator["playwright.Playwright"]:
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(driver) -> "playwright.Browser":
    return launched(driver, SOFTWARE)


def launched(driver, arguments: list[str]) -> "playwright.Browser":
    """The system's Chromium, else playwright's own; closed with the driver."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    try:
        return driver.chromium.launch(executable_path=path, args=[*root, *arguments])
    except playwright.Error as error:
        pytest.skip(f"no Chromium can be started here: {error}")


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    first = room_view(splats=splat_wall())
    second = room_view((*furnished_room.FURNITURE, STEP))
    aims = torch.tensor([[0.0, 0, -1], [1, 0, -1], [1, 0, 0]])
    tour = Cameras.look_at(torch.tensor([[0.0, 0, 0], [0, 0, -1], [0.5, 0, -1.5]]), aims + 0.01, 60.0, 64)
    photo = Image.fromarray((render_photo() * 255).round().astype(np.uint8))
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    return write_explorer(path, [first, second], photo=photo, start=photo_camera(*SIZE), camera_path=tour)


def opened(browser, file: Path, folder: Path, width: int, height: int, **options) -> Visit:
    page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
    page.screenshot_folder = folder
    page.set_default_timeout(60_000)
    visit = Visit(page)
    page.on("console", lambda message: visit.complaints.append(message.text))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("request", lambda request: visit.requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-ready], body[data-failed]", state="attached")
    return visit


@pytest.fixture(scope="module")
def desktop(browser, file, tmp_path_factory) -> Visit:
    return opened(browser, file, tmp_path_factory.mktemp("desktop"), *SIZE)


@pytest.fixture
def visit(desktop) -> Iterator[Visit]:
    """The page back at the photo's place; nothing may have been complained about by the end."""
    desktop.page.keyboard.press("1")
    desktop.page.wait_for_function("() => explorer.state().hypothesis === 0")
    desktop.again()
    yield desktop
    assert desktop.complaints == []


def render_photo() -> np.ndarray:
    return render_mesh(room_view().mesh, photo_camera(*SIZE)).rgb[0, 0].permute(1, 2, 0).numpy()


def test_asks_for_nothing_but_itself(visit, file):
    others = [url for url in visit.requests if not url.startswith(("blob:", "data:"))]
    assert others == [file.as_uri()]
    loaded = visit.page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert [url for url in loaded if not url.startswith(("blob:", "data:"))] == []
    assert visit.page.evaluate("document.body.dataset.ready") == "true"


def test_first_picture_is_the_photo(visit):
    render = render_mesh(room_view().mesh, photo_camera(*SIZE))
    truth, surface = render.rgb[0, 0].permute(1, 2, 0).numpy(), render.alpha[0, 0, 0].numpy() > 0.99
    shown = visit.picture()
    assert np.abs(shown - truth)[surface].mean() < 0.02


def test_walks_ahead_on_the_floor_and_stops_at_the_wall(visit):
    start = visit.state
    assert not start["flying"]
    assert start["feet"] == pytest.approx(furnished_room.LOW[1] + CELL / 2, abs=1e-3)
    visit.hold("w", "still > .4")
    end = visit.state
    wall = furnished_room.LOW[2] + CELL / 2
    assert end["at"][2] == pytest.approx(wall + BODY.radius, abs=0.03)
    assert end["feet"] == pytest.approx(start["feet"], abs=1e-3)


def test_slides_along_furniture_without_entering_it(visit):
    (low_x, _, _), (_, _, high_z), _ = furnished_room.FURNITURE[0]
    visit.jump(yaw=0.8)
    visit.hold("w", "still > .4")
    x, _, z = visit.state["at"]
    beside = x <= low_x - BODY.radius + CELL
    before = z >= high_z + BODY.radius - CELL
    assert beside or before
    assert z < -1 or x > 1  # it did get there


def test_never_falls_through_the_floor_however_it_walks(visit):
    floor = furnished_room.LOW[1] + CELL / 2
    random = np.random.default_rng(0)
    for _ in range(8):
        visit.jump(yaw=float(random.uniform(0, 6.28)))
        visit.page.keyboard.down("Shift")
        visit.hold("w", "still > .15")
        visit.page.keyboard.up("Shift")
        state = visit.state
        assert state["feet"] >= floor - 1e-3
        assert not state["flying"]
        assert (np.array(state["at"]) > furnished_room.LOW).all()
        assert (np.array(state["at"]) < furnished_room.HIGH).all()


def test_falls_by_gravity_onto_the_floor(visit):
    visit.page.evaluate("explorer.jump({feet: -0.6, at: [0, 0.9, 0]})")
    visit.jump(flying=True, at=[0.0, 0.4, 0.0])
    visit.page.keyboard.press("f")
    visit.page.wait_for_timeout(600)
    state = visit.state
    assert not state["flying"]
    assert state["feet"] == pytest.approx(furnished_room.LOW[1] + CELL / 2, abs=1e-3)


def test_climbs_a_step_of_the_other_hypothesis_but_no_table(visit):
    visit.page.keyboard.press("2")
    visit.page.wait_for_function("() => explorer.state().hypothesis === 1")
    (low_x, _, _), (high_x, top, _), _ = STEP
    visit.jump(at=[(low_x + high_x) / 2, 0.0, -0.2], yaw=np.pi)
    visit.hold("w", "s.at[2] > 1.1")
    assert visit.state["feet"] == pytest.approx(top, abs=CELL)
    visit.again()
    (low_x, _, _), (high_x, _, high_z), _ = furnished_room.FURNITURE[1]
    visit.jump(at=[(low_x + high_x) / 2, 0.0, -0.8], yaw=0.0)
    visit.hold("w", "still > .4")
    assert visit.state["at"][2] >= high_z + BODY.radius - CELL


def test_another_hypothesis_looks_different_where_it_differs_from_the_same_place(visit):
    visit.jump(yaw=np.pi + 0.5, pitch=-0.4)
    first, place = visit.picture(), visit.state["at"]
    visit.page.click("#hypotheses button:nth-child(2)")
    visit.page.wait_for_function("() => explorer.state().hypothesis === 1")
    second = visit.picture()
    changed = (np.abs(first - second) > 0.1).any(-1).mean()
    assert 0.02 < changed < 0.3  # the added block alone
    np.testing.assert_allclose(visit.state["at"], place, atol=1e-6)
    assert visit.page.get_attribute("#hypotheses button:nth-child(2)", "aria-pressed") == "true"


def test_layers_paints_and_fog_change_what_is_seen(visit):
    plain = visit.picture()
    visit.page.keyboard.press("c")
    assert visit.page.get_attribute("#paints button:nth-child(2)", "aria-pressed") == "true"
    origin = visit.picture()
    visit.page.keyboard.press("c")
    heat = visit.picture()
    visit.page.keyboard.press("c")
    visit.page.evaluate("document.querySelector('#layers button').click()")
    hidden = visit.picture()
    visit.page.evaluate("document.querySelector('#layers button').click()")
    assert min(np.abs(a - b).mean() for a, b in ((plain, origin), (origin, heat), (plain, hidden))) > 0.03
    # What the photo shows lies ahead: without it only fog, of one color, is left in the middle.
    assert hidden[150:250, 270:370].std((0, 1)).max() < 0.02
    # The heat grows from left to right, as the mesh's uncertainty does: bluer on the left.
    assert heat[200, 60, 2] - heat[200, 60, 0] > heat[200, 420, 2] - heat[200, 420, 0] + 0.2


def test_fog_follows_beers_law(visit):
    """From outside one looks through the wall's back; two of the four cells behind it are foggy."""
    visit.jump(flying=True, at=[0.0, 0.0, 3.0], yaw=0.0, pitch=0.0)
    foggy = visit.picture()
    visit.page.keyboard.press("g")
    clear = visit.picture()
    visit.page.keyboard.press("g")
    fog = np.array([0xE6, 0xE3, 0xDC]) / 255
    middle = (slice(180, 220), slice(300, 340))
    let_through = np.abs(foggy - fog)[middle].mean() / np.abs(clear - fog)[middle].mean()
    assert let_through == pytest.approx(np.exp(-0.9 * 2 * CELL), abs=0.02)


def test_splats_are_drawn_in_their_color_and_hidden_by_what_is_nearer(visit):
    visit.page.evaluate("document.querySelector('[data-kind=splats]').click()")
    visit.page.wait_for_timeout(500)
    shown = visit.picture()
    visit.jump(flying=True, at=[0.0, 0.0, -3.3], yaw=0.0)  # the splats lie behind
    behind = visit.picture()
    visit.page.evaluate("document.querySelector('[data-kind=splats]').click()")
    np.testing.assert_allclose(shown[200, 320], [0.9, 0.1, 0.1], atol=0.05)
    assert behind[200, 320, 1] > 0.3


def test_the_tour_flies_its_cameras_and_a_step_ends_it(visit):
    visit.page.keyboard.press("p")
    visit.page.wait_for_function("() => explorer.state().at[2] < -1.2")
    assert visit.state["flying"]
    visit.page.keyboard.press("p")
    visit.page.evaluate(
        "const p = document.getElementById('progress'); p.value = 1; p.dispatchEvent(new Event('input'))"
    )
    np.testing.assert_allclose(visit.state["at"], [0.5, 0, -1.5], atol=1e-6)
    visit.page.keyboard.press("p")
    visit.hold("s", "!s.playing")
    assert not visit.state["playing"]


def test_flies_up_and_through_walls(visit):
    visit.page.keyboard.press("f")
    visit.hold("e", "s.at[1] > 1.6")
    assert visit.state["flying"]


def test_dragging_turns_the_view(visit):
    visit.page.mouse.move(300, 150)
    visit.page.mouse.down()
    visit.page.mouse.move(200, 150, steps=4)
    visit.page.mouse.up()
    # The scene follows the pointer: to the left, so that one looks to the right.
    assert visit.state["yaw"] == pytest.approx(100 * np.deg2rad(70) / SIZE[1], rel=0.1)


def test_every_control_is_reached_by_the_keyboard_and_has_a_name(visit):
    visit.page.evaluate("document.getElementById('panel').hidden = false; document.activeElement.blur()")
    reached = set()
    for _ in range(30):
        visit.page.keyboard.press("Tab")
        reached.add(
            visit.page.evaluate("(document.activeElement.textContent || '').trim() || document.activeElement.id")
        )
    for name in ("Walk", "Fly", "Help", "Options", "Uncertainty", "guessed", "splats", "Play", "view", "progress"):
        assert name in reached
    unnamed = "all => all.filter(e => !e.textContent.trim() && !e.ariaLabel).length"
    assert visit.page.eval_on_selector_all("button, input, [role=group]", unnamed) == 0
    visit.page.evaluate("document.getElementById('ask').focus()")
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.getElementById('help').open")
    visit.page.keyboard.press("Escape")
    assert not visit.page.evaluate("document.getElementById('help').open")


def test_a_phone_walks_and_looks_by_touch_and_nothing_sticks_out(browser, file, tmp_path):
    visit = opened(browser, file, tmp_path, 390, 700, has_touch=True, is_mobile=True)
    page = visit.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for box in page.evaluate(
        "[...document.querySelectorAll('#bar button')].map(e => e.getBoundingClientRect().toJSON())"
    ):
        assert box["left"] >= 0
        assert box["right"] <= 390
        assert box["height"] >= 40
    page.tap("#options")
    panel = page.evaluate("document.getElementById('panel').getBoundingClientRect().toJSON()")
    assert panel["left"] >= 0
    assert panel["right"] <= 390
    assert panel["bottom"] <= page.evaluate("document.getElementById('bar').getBoundingClientRect().top")
    page.tap("#options")
    touch = page.context.new_cdp_session(page)

    def swipe(x: float, y: float, dx: float, dy: float, wait: int) -> None:
        points = [{"x": x, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
        points = [{"x": x + dx, "y": y + dy}]
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": points})
        page.wait_for_timeout(wait)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe(90, 350, 0, -60, 1200)
    walked = visit.state
    assert walked["at"][2] < -0.2
    assert walked["yaw"] == 0
    swipe(300, 350, -60, 0, 50)
    assert visit.state["yaw"] > 0.05
    assert visit.complaints == []
    page.context.close()


def test_without_webgl_the_photo_and_a_reason_are_shown(driver, file, tmp_path):
    page = opened(launched(driver, ["--disable-3d-apis"]), file, tmp_path, *SIZE).page
    assert page.is_visible("#poster img")
    assert "WebGL 2" in page.inner_text("#poster-text")
    assert not page.is_visible("#bar")
