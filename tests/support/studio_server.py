"""A server in a process of its own, as users start it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx


@dataclass
class StudioServer:
    """``mvdiff app`` (or ``serve``) on a free port, with a tiny model on the CPU."""

    output_dir: Path
    weights: Path
    options: tuple[str, ...] = ()
    verb: str = "app"
    environment: dict[str, str] = field(default_factory=dict)
    url: str = ""
    process: subprocess.Popen | None = None

    def start(self, port: int = 0) -> "StudioServer":
        """Start it and wait until it answers; its log lies beside the output folder."""
        command = [sys.executable, "-m", "mvdiff", self.verb, "--output-dir", str(self.output_dir)]
        command += ["--weights", str(self.weights), "--device", "cpu", "--port", str(port), *self.options]
        command += ["--no-browser"] if self.verb == "app" else []
        log = self.output_dir.with_suffix(".log").open("ab")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | self.environment
        )
        line = self.process.stdout.readline()
        assert line.startswith("Listening at "), line + self.log
        self.url = line.split()[2]
        return self

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port

    @property
    def log(self) -> str:
        return self.output_dir.with_suffix(".log").read_text("utf-8")

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Wait until its worker has read the model."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            states = httpx.get(f"{self.url}health", trust_env=False).json()["workers"]
            if all(state == "ready" for state in states.values()):
                return
            time.sleep(0.3)
        raise AssertionError(self.log)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
