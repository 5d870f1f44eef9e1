"""A person with a browser of their own in front of the studio."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from studio_server import StudioServer

playwright = pytest.importorskip("playwright.sync_api", reason="playwright, a development dependency, is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe, a development dependency, is missing")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-sandbox", "--ignore-gpu-blocklist"]
WAIT = 240_000


@dataclass
class Visitor:
    """A person with a browser of their own, and what its pages asked for and complained about."""

    page: "playwright.Page"
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def drop(self, photo: Path) -> None:
        """Drop a photo onto the page, as from a file manager."""
        self.page.locator("#photo").wait_for()
        data = self.page.evaluate_handle(
            """bytes => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "mug.png", { type: "image/png" }));
                return data;
            }""",
            list(photo.read_bytes()),
        )
        self.page.dispatch_event("#drop", "drop", {"dataTransfer": data})
        self.page.locator("#prepare").wait_for()

    def sample(self, count: int = 2, steps: int = 2) -> None:
        """Fill the form and send it."""
        page = self.page
        page.fill("[name=num_hypotheses]", str(count))
        page.select_option("[name=preset]", "fast")
        page.evaluate("document.getElementById('more-settings').open = true")
        page.fill("[name=num_inference_steps]", str(steps))
        page.fill("[name=candidates]", "1")
        page.click("#settings [type=submit]")
        page.locator("#working").wait_for()

    def wait_for_results(self) -> str:
        """The name of the finished run."""
        self.page.locator("#results").wait_for(timeout=WAIT)
        return self.page.evaluate("decodeURIComponent(location.hash)").removeprefix("#run/")

    def faults(self) -> list[str]:
        """Serious faults that axe-core finds."""
        found = axe.Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {each['help']}" for each in found if each["impact"] in ("serious", "critical")]


@contextmanager
def open_browser() -> Iterator["playwright.Browser"]:
    """A headless Chromium; the test is skipped where there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        try:
            opened = driver.chromium.launch(executable_path=path, args=[*root, *SOFTWARE])
        except playwright.Error as error:
            pytest.skip(f"no Chromium can be started here: {error}")
        yield opened
        opened.close()


def arrive(browser: "playwright.Browser", server: StudioServer, **options) -> Visitor:
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(90_000)
    visitor = Visitor(page, server.url)
    page.on("console", lambda message: message.type == "error" and visitor.complaints.append(message.text))
    page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
    page.on("request", lambda request: visitor.requests.append(request.url))
    page.goto(server.url)
    page.wait_for_selector("body[data-ready]", state="attached")
    return visitor
