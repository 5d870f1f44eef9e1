"""Many visitors at once, and servers that are killed."""

import importlib.util
import json
import time
from pathlib import Path

import pytest
from studio_server import StudioServer

from mvdiff.client import Client

ROOT = Path(__file__).resolve().parents[3]
QUICK = {"num_hypotheses": 4, "num_inference_steps": 10, "candidates": 2, "preset": "fast"}

pytestmark = pytest.mark.slow


def test_under_load_every_answer_is_ones_own(weights: Path, capsys: pytest.CaptureFixture) -> None:
    spec = importlib.util.spec_from_file_location("load_test", ROOT / "tools/load_test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.LoadTest(str(weights), requests=24, parallel=8, cancelled=0.15, hostile=0.15, device="cpu")
    code = module.main(config)
    summary = json.loads(capsys.readouterr().out)
    assert summary["wrong"] == []
    assert code == 0, summary
    assert set(summary["states"]["hostile"]) == {"error"}


def test_a_killed_server_loses_nothing(weights: Path, photo: Path, tmp_path: Path) -> None:
    server = StudioServer(tmp_path / "runs", weights).start()
    try:
        with Client(server.url) as client:
            done = client.generate(photo, **QUICK | {"num_hypotheses": 1, "num_inference_steps": 2})
            done.wait()
            working, waiting = (client.generate(photo, **QUICK | {"seed": seed}) for seed in (1, 2))
            for state in working.events():
                if (server.output_dir / str(state.run) / "views/000/views.safetensors").exists():
                    break
            server.kill()
            saved = server.output_dir / state.run / "views/000/views.safetensors"
            stamp = saved.stat().st_mtime_ns
            server.start(server.port)
            assert done.state.state == "done"
            assert working.wait().state == "done"
            assert saved.stat().st_mtime_ns == stamp  # it went on instead of starting again
            assert waiting.wait().state == "done"
            assert len(client.jobs()) == 3
    finally:
        server.stop()


def test_a_killed_worker_is_replaced(weights: Path, photo: Path, tmp_path: Path) -> None:
    import os
    import signal
    import subprocess

    server = StudioServer(tmp_path / "runs", weights).start()
    try:
        with Client(server.url) as client:
            job = client.generate(photo, **QUICK)
            for state in job.events():
                if state.done > 0:
                    break
            pids = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
            rows = [tuple(map(int, line.split())) for line in pids.splitlines()]
            for pid in [pid for pid, parent in rows if parent == server.process.pid]:
                os.kill(pid, signal.SIGKILL)
            assert job.wait().state == "done"
    finally:
        server.stop()


def test_what_takes_too_long_ends_with_a_sentence(weights: Path, photo: Path, tmp_path: Path) -> None:
    options = ("--time-limit", "3", "--queue-length", "1")
    server = StudioServer(tmp_path / "runs", weights, options).start()
    try:
        with Client(server.url) as client:
            slow = client.generate(photo, **QUICK | {"num_hypotheses": 32, "num_inference_steps": 200})
            while slow.state.state == "queued":
                time.sleep(0.2)
            client.generate(photo, **QUICK).cancel()
            client.generate(photo, **QUICK)
            with pytest.raises(ValueError, match="queue is full"):
                client.generate(photo, **QUICK)
            with pytest.raises(ValueError, match="longer than 3 seconds: ask for fewer"):
                slow.wait()
    finally:
        server.stop()
