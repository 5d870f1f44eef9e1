"""An S3-compatible server in a process of its own: s3rver of npm, which keeps its objects on disk.

``npm install --prefix FOLDER s3rver@3.7.1``, then ``MVDIFF_S3RVER=FOLDER/node_modules/.bin/s3rver``. It was chosen
since its objects outlive a killed server, which those of moto (PyPI, in memory) do not; Debian has whole storage
systems (Swift, Ceph), each with several daemons, and neither MinIO, Garage nor SeaweedFS.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

COMMAND = os.environ.get("MVDIFF_S3RVER") or shutil.which("s3rver")


@dataclass
class S3Server:
    """One server with the bucket ``batch``."""

    folder: Path
    port: int = 0
    process: subprocess.Popen | None = None

    def start(self) -> "S3Server":
        """Start it (again), and wait until it answers."""
        assert COMMAND, "there is no s3rver: set MVDIFF_S3RVER"
        self.port = self.port or free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ["-d", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port), "--silent"]
        self.process = subprocess.Popen([COMMAND, *options, "--configure-bucket", "batch"])
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        raise AssertionError("s3rver does not answer")

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which every client finds the server. It knows no checksums in trailers, as many stores."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "S3RVER",
            "AWS_SECRET_ACCESS_KEY": "S3RVER",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]
