"""The index in a real browser, opened from disk."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mvdiff.batch.index import write_index
from mvdiff.batch.keys import key_of
from mvdiff.batch.store import Store
from mvdiff.batch.summary import write_tables
from mvdiff.batch.table import to_bytes

ROWS = 1500
#: One white pixel as WebP.
_PIXEL = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAUAmJaQAA3AA/vz0AAA="


def row(number: int, dice: random.Random) -> dict[str, Any]:
    name = f"shelf {number % 7}/photo-{number:06d}.jpg" if number else "<b>#1</b> 100%?.jpg"
    key = key_of(name, "s")
    if number % 100 == 7:
        return {"key": key, "photo": name, "state": "bad", "error": "It is <i>no</i> picture.", "seconds": 0.1}
    own = {"folder": f"runs/{key[-20:-18]}/{key}", "files": ["summary.json", "report.html"], "thumbnail": _PIXEL}
    numbers = {"ambiguity": dice.random(), "modes": dice.randrange(1, 5), "seconds": dice.random(), "bytes": 1}
    return {"key": key, "photo": name, "state": "done", **own, **numbers}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    out, dice = tmp_path_factory.mktemp("index"), random.Random(0)
    store = Store(str(out))
    for start in range(0, ROWS, 500):
        store.write(f"parts/{start:05d}.parquet", to_bytes([row(k, dice) for k in range(start, start + 500)]))
    write_index(store, write_tables(store))
    with sync_api.sync_playwright() as tool:
        try:
            browser = tool.chromium.launch(args=["--no-sandbox"], executable_path=_chromium())
        except sync_api.Error as error:
            pytest.skip(f"no browser: {error}")
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.errors = []
        opened.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.goto((out / "index.html").as_uri())
        opened.wait_for_function(f"all.length === {ROWS}")
        yield opened
        assert not opened.errors
        browser.close()


def _chromium() -> str | None:
    return next(
        (str(path) for path in (Path("/usr/bin/chromium"), Path("/usr/bin/chromium-browser")) if path.exists()), None
    )


@pytest.mark.slow
def test_only_rows_in_sight_are_in_the_page(page: Any) -> None:
    assert page.inner_text("h1") == "1,485 results, 15 failures"
    assert page.locator(".row").count() < 40
    page.evaluate("at('list').scrollTop = 1e9")
    page.wait_for_function("[...document.querySelectorAll('.name')].some(e => e.textContent.includes('001499'))")
    assert page.locator(".row").count() < 40
    page.wait_for_function("[...document.querySelectorAll('.row img')].every(e => e.naturalWidth === 1)")
    page.evaluate("at('list').scrollTop = 0")


@pytest.mark.slow
def test_names_are_text_and_links_lead_to_the_reports(page: Any) -> None:
    page.fill("#find", "100%?")
    name = page.locator(".row .name")
    assert name.inner_text() == "<b>#1</b> 100%?.jpg"
    assert page.locator("a.row").get_attribute("href").endswith("/report.html")
    page.fill("#find", "")


@pytest.mark.slow
def test_failures_and_orders(page: Any) -> None:
    page.select_option("#show", "0")
    assert page.inner_text("#found") == "15 of 1,500"
    assert page.locator(".error").first.inner_text() == "It is <i>no</i> picture."
    page.select_option("#show", "1")
    page.select_option("#order", "-2")
    shown = page.locator(".row .number:nth-of-type(2)")
    values = page.evaluate("order.map(i => all[i][2])")
    assert values == sorted(values, reverse=True)
    assert len(values) == 1485
    assert shown.count() > 0
