"""Measure the studio on this machine: ``python tools/measure_studio.py``.

It starts ``mvdiff app`` with the embedded models, sends the demo photos as a browser does, and prints one JSON object:
seconds from start to a ready model, from a dropped photo to the first preview and to the finished run, and the rates
that ``mvdiff.serving.expectation.STORED`` keeps for machines that have finished no job yet.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tyro

from mvdiff.client import Client

ASSETS = Path(__file__).resolve().parents[1] / "mvdiff/assets"
OBJECT, PLACE = ASSETS / "hidden_handle_mug.png", ASSETS / "scene.png"


@dataclass(frozen=True)
class Measurement:
    """Seconds of the studio on this machine."""

    device: str = "auto"
    """Device of the server's model."""
    num_hypotheses: int = 4
    """Hypotheses of each run, as the studio's form has them."""
    presets: tuple[str, ...] = ("default", "fast")
    """Qualities of the reconstruction to measure."""
    scenes: int = 1
    """Scenes to sample; 0 measures none."""


def main(config: Measurement) -> None:
    """Run the server and measure it."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "mvdiff", "app", "--output-dir", scratch, "--port", "0"]
        start = time.perf_counter()
        with subprocess.Popen([*command, "--device", config.device, "--no-browser"], stdout=subprocess.PIPE, text=True,
                              env=os.environ) as server:  # fmt: skip
            try:
                assert server.stdout is not None
                url = server.stdout.readline().split()[2]
                answers = time.perf_counter() - start
                _wait_until_ready(url)
                ready = time.perf_counter() - start
                runs = [_measure(url, config, preset) for preset in config.presets]
                scenes = _scenes(url, config.scenes) if config.scenes else {}
                with Client(url) as client:
                    rates = client.get("/api/choices", dict[str, Any])["seconds"]
            finally:
                server.terminate()
    record = {"page_answers": answers, "model_ready": ready, "runs": runs, "scenes": scenes, "rates": rates}
    print(json.dumps(_rounded(record), indent=2))


def _wait_until_ready(url: str) -> None:
    while "ready" not in httpx.get(f"{url}health").text:
        time.sleep(0.1)


def _measure(url: str, config: Measurement, preset: str) -> dict[str, Any]:
    """Drop a photo: upload and matte, then the job, as the pages ask for them."""
    with Client(url) as client:
        start = time.perf_counter()
        photo = client.post("/api/photos", dict[str, Any], files={"photo": (OBJECT.name, OBJECT.read_bytes())})
        matte = time.perf_counter() - start
        body = {"kind": "generate", "photo": photo["id"], "num_hypotheses": config.num_hypotheses, "preset": preset}
        job, first = client.post("/api/jobs", dict[str, Any], json=body), None
        for state in client.stream(f"/api/jobs/{job['id']}/events"):
            if first is None and state.previews:
                client.fetch(f"/api/jobs/{job['id']}/previews/0")
                first = time.perf_counter() - start
        done = time.perf_counter() - start
    return {"preset": preset, "matte": matte, "first_preview": first, "done": done, "stages": state.seconds}


def _scenes(url: str, count: int) -> dict[str, Any]:
    with Client(url) as client:
        start = time.perf_counter()
        photo = client.post("/api/photos", dict[str, Any], files={"photo": (PLACE.name, PLACE.read_bytes())})
        body = {"kind": "scene", "photo": photo["id"], "num_hypotheses": count}
        job = client.post("/api/jobs", dict[str, Any], json=body)
        state = list(client.stream(f"/api/jobs/{job['id']}/events"))[-1]
    return {"state": state.state, "done": time.perf_counter() - start, "stages": state.seconds}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main(tyro.cli(Measurement, description=__doc__))
