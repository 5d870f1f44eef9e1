"""One server with a tiny model for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="the extra client is not installed")

from studio_server import StudioServer

from mvdiff.client import Client

#: Settings of a job of a few seconds.
QUICK = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1, "preset": "fast"}


@pytest.fixture(scope="session")
def server(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    started = StudioServer(tmp_path_factory.mktemp("studio") / "runs", weights, ("--max-megabytes", "2")).start()
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
