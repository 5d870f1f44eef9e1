"""A real ComfyUI server on the CPU, in a folder of its own, and the calls of its HTTP API."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path
    """Base directory: custom_nodes, input, output."""

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def post(self, path: str, value: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, json.dumps(value).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "{}")

    def start(self, workflow: dict[str, Any]) -> str:
        return self.post("/prompt", {"prompt": workflow})["prompt_id"]

    def wait(self, prompt: str, seconds: float = 500) -> dict[str, Any]:
        """The record of a finished workflow."""
        for _ in range(int(seconds)):
            record = json.loads(self.get(f"/history/{prompt}"))
            if record:
                return record[prompt]
            time.sleep(1)
        raise TimeoutError(prompt)


@contextmanager
def comfyui(program: Path, python: str, folder: Path) -> Iterator[Server]:
    """Start the server of ``program`` with ``folder`` as its base directory; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", folder)
    words = ["--cpu", "--port", str(port), "--base-directory", str(folder), "--disable-api-nodes"]
    package = Path(__file__).parents[2]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [python, str(program / "main.py"), *words],
            stdout=log,
            stderr=log,
            cwd=program,
            env=os.environ | {"PYTHONPATH": str(package)},
        )
        try:
            _wait_for(server, process)
            yield server
        finally:
            process.terminate()
            process.wait()


def _wait_for(server: Server, process: subprocess.Popen, seconds: int = 300) -> None:
    for _ in range(seconds):
        if process.poll() is not None:
            break
        try:
            server.get("/system_stats")
        except urllib.error.URLError:
            time.sleep(1)
        else:
            return
    raise RuntimeError((server.folder / "server.log").read_text(errors="replace")[-4000:])
