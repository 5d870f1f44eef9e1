"""A worker's job without a model: a deterministic file for each photo, and every way in which work can go wrong."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

from recon.core.errors import InputError


class StubJob:
    """The bytes of a photo say what happens: ``bad``, ``bug``, ``die`` (always), ``die once``, else a result."""

    def __init__(
        self, threads: int | None, seconds: float = 0.0, flavor: str = "plain", marks: str = "", size: int = 64
    ) -> None:
        """``marks``: folder that remembers who died, and counts the calls of each photo."""
        self.seconds, self.flavor, self.marks, self.size = seconds, flavor, marks, size

    def settings(self) -> dict[str, Any]:
        return {"flavor": self.flavor}

    def facts(self) -> dict[str, Any]:
        return {"device": "cpu", "gpus": 0}

    def make(self, name: str, data: bytes, work: Path, result: Path) -> dict[str, Any]:
        if self.seconds:
            time.sleep(self.seconds)
        text = data.decode(errors="replace")
        if self.marks:
            with (Path(self.marks) / "calls").open("a") as file:
                file.write(f"{name}\n")
        if text == "bad":
            raise InputError(f"'{name}' is no picture: give one.")
        if text == "bug":
            raise RuntimeError("a bug")
        if text == "die" or (text == "die once" and self._first(name)):
            os._exit(9)
        digest = hashlib.sha256(data + self.flavor.encode()).hexdigest()
        (result / "hypotheses").mkdir()
        (result / "hypotheses/000.glb").write_text(digest * (self.size // 64))
        (result / "summary.json").write_text(digest)
        return {"ambiguity": int(digest[:4], 16) / 65535, "modes": 1 + int(digest[4], 16) % 4, "hypotheses": 8}

    def _first(self, name: str) -> bool:
        try:
            (Path(self.marks) / f"died-{Path(name).name}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def hashes(out: Path) -> dict[str, str]:
    """Hash of every published file, by name."""
    runs = out / "runs"
    return {
        str(path.relative_to(runs)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(runs.rglob("*"))
        if path.is_file()
    }
