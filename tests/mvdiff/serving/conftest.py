"""One server with a tiny model for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="the extra client is not installed")

from studio_server import StudioServer
from tiny_scene_network import tiny_scene_network

from mvdiff.client import Client
from mvdiff.weights.packing import save_packed

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from studio_visitor import Visitor

#: Settings of a job of a few seconds.
QUICK = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1, "preset": "fast"}


@pytest.fixture(scope="session")
def scene_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of scenes, packed."""
    folder = tmp_path_factory.mktemp("scene-weights")
    save_packed({"transformer": tiny_scene_network()}, folder, {})
    return folder


@pytest.fixture(scope="session")
def server(weights: Path, scene_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    options = ("--max-megabytes", "2", "--scene-weights", str(scene_weights))
    started = StudioServer(tmp_path_factory.mktemp("studio") / "runs", weights, options).start()
    yield started
    started.stop()


@pytest.fixture
def client(server: StudioServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def made(server: StudioServer, photo: Path) -> str:
    """The name of one finished run of the server."""
    with Client(server.url) as opened:
        return opened.generate(photo, **QUICK).wait().run


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from studio_visitor import open_browser

    with open_browser() as opened:
        yield opened


@pytest.fixture
def visitor(browser: "Browser", server: StudioServer) -> Iterator["Visitor"]:
    """Everything that the page asked for came from its server, and nothing went wrong."""
    from studio_visitor import arrive

    arrived = arrive(browser, server, viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield arrived
    assert arrived.complaints == []
    assert all(url.startswith((server.url, "data:", "blob:")) for url in arrived.requests)
    arrived.page.context.close()
