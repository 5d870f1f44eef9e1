"""Put the HTTP API under load: ``python tools/load_test.py --weights FOLDER``.

Many requests run side by side; some are canceled, some are hostile. Every one must end as a result of its own or as
one clear error, and the memory of server and worker must stay flat. Prints a summary; exits with 1 where that fails.
"""

import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image

from mvdiff.client import Client, ServerError

#: Most that the memory may grow between the first quarter of the requests and the last one.
_GROWTH = 0.25


@dataclass(frozen=True)
class LoadTest:
    """Load test of the HTTP API."""

    weights: str = "embedded"
    """Weights of the server's model: "embedded" (in this package), or a folder."""
    requests: int = 200
    """Number of requests."""
    parallel: int = 8
    """Number of requests at a time."""
    cancelled: float = 0.05
    """Share of requests that are canceled at a random moment."""
    hostile: float = 0.05
    """Share of requests whose upload is no photo."""
    device: str = "auto"
    """Device of the server's model."""


def photo_of(number: int) -> bytes:
    """A cut-out whose color encodes its number."""
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[12:52, 16:48] = (number % 16 * 16, number // 16 * 16, 120, 255)
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "PNG")
    return file.getvalue()


def one_request(url: str, folder: Path, number: int, config: LoadTest) -> dict[str, Any]:
    """One visitor: outcome, and whether the result is the own one."""
    chance = random.Random(number)
    kind = chance.choices(("normal", "cancelled", "hostile"), (1, config.cancelled, config.hostile))[0]
    path = folder / f"photo-{number}.png"
    path.write_bytes(photo_of(number) if kind != "hostile" else chance.randbytes(5000))
    settings = {"num_hypotheses": 1, "num_inference_steps": 2, "candidates": 1, "preset": "fast", "seed": number}
    with Client(url) as client:
        try:
            job = client.generate(path, **settings)
            if kind == "cancelled":
                time.sleep(chance.uniform(0, 5))
                return {"kind": kind, "state": job.cancel().state, "own": True}
            run = job.wait().run
            manifest = json.loads(client.fetch(f"/runs/{run}/manifest.json"))
            inputs = manifest["inputs"]
            own = inputs["config"]["seed"] == number and inputs["photo"]["name"] == path.name
            return {"kind": kind, "state": "done", "own": own and len(client.jobs()) == 1}
        except ServerError as error:
            return {"kind": kind, "state": "error", "own": True, "error": str(error)}


def memory(pid: int) -> dict[str, int]:
    """Resident bytes of the server and of its workers together."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listing.splitlines()]
    own = {name: sum(rss for each, parent, rss in rows if (each if name == "server" else parent) == pid) * 1024
           for name in ("server", "workers")}  # fmt: skip
    return own


def main(config: LoadTest) -> int:
    """Run the test; returns the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        command = [sys.executable, "-m", "mvdiff", "serve", "--output-dir", str(folder / "runs"), "--port", "0"]
        command += ["--weights", config.weights, "--device", config.device]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().split()[2]
                return _load(config, url, folder, server.pid)
            finally:
                server.terminate()


def _load(config: LoadTest, url: str, folder: Path, pid: int) -> int:
    samples: list[dict[str, int]] = []

    def request(number: int) -> dict[str, Any]:
        outcome = one_request(url, folder, number, config)
        samples.append(memory(pid))
        return outcome

    start = time.perf_counter()
    with ThreadPoolExecutor(config.parallel) as pool:
        outcomes = list(pool.map(request, range(config.requests)))
    seconds = time.perf_counter() - start
    quarter = max(1, config.requests // 4)
    growth = {
        name: float(np.median([each[name] for each in samples[-quarter:]]))
        / float(np.median([each[name] for each in samples[quarter : 2 * quarter]]))
        - 1
        for name in ("server", "workers")
    }
    expected = {"normal": ("done",), "cancelled": ("cancelled", "done"), "hostile": ("error",)}
    wrong = [each for each in outcomes if each["state"] not in expected[each["kind"]] or not each["own"]]
    wrong += [each for each in outcomes if not re.fullmatch(r".{0,300}\.", each.get("error", "x."))]
    summary = {
        "requests": config.requests,
        "seconds": round(seconds, 1),
        "states": {kind: _counts(outcomes, kind) for kind in expected},
        "memory_growth": {name: round(value, 3) for name, value in growth.items()},
        "memory_mb": {name: round(samples[-1][name] / 1e6) for name in samples[-1]},
        "wrong": wrong,
    }
    print(json.dumps(summary, indent=2))
    return 1 if wrong or max(growth.values()) > _GROWTH else 0


def _counts(outcomes: list[dict[str, Any]], kind: str) -> dict[str, int]:
    states = [each["state"] for each in outcomes if each["kind"] == kind]
    return {state: states.count(state) for state in dict.fromkeys(states)}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(LoadTest, description=__doc__)))
