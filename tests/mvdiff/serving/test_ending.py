"""The server ends as Ctrl-C asks for, with its workers, without a traceback."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from studio_server import StudioServer

from mvdiff.client import Client

pytestmark = pytest.mark.slow


def children(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listing.splitlines()]
    return [each for each, parent in rows if parent == pid]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["app", "serve"])
def test_a_signal_ends_the_server_and_its_workers(
    weights: Path, photo: Path, tmp_path: Path, verb: str, stop: signal.Signals
) -> None:
    server = StudioServer(tmp_path / "runs", weights, verb=verb).start()
    server.wait_until_ready()
    with Client(server.url) as client:
        job = client.generate(photo, num_hypotheses=32, num_inference_steps=200)
        while job.state.state != "running":
            time.sleep(0.1)
        workers = children(server.process.pid)
    assert workers
    server.process.send_signal(stop)
    code = server.process.wait(30)
    assert code in ((0, 130) if stop == signal.SIGINT else (0, 143, -signal.SIGTERM))
    assert "Traceback" not in server.log
    end = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(alive, workers))
