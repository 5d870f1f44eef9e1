"""The mvdiff command as a process beside Blender. Free of bpy."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .run_folder import RunError

#: Variables by which Blender's own Python would be found instead of that of the command.
_OWN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")


@dataclass(frozen=True)
class Job:
    """A running command."""

    process: subprocess.Popen
    log: IO[bytes]
    folder: Path

    @staticmethod
    def start(command: list[str], folder: Path) -> "Job":
        """Start ``command``, whose results go to ``folder``. Raises :class:`RunError` where there is none."""
        environment = {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES}
        log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process runs
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        except OSError as error:
            log.close()
            raise RunError(
                f"The command '{command[0]}' cannot be started ({error.strerror}): install mvdiff and give the "
                "command's path in the add-on's preferences."
            ) from error
        return Job(process, log, folder)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """End the command; running it again continues."""
        if self.running:
            self.process.terminate()
            self.process.wait()
        self.log.close()

    def check(self) -> None:
        """Raise :class:`RunError` with the command's own sentence if it has failed."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        self.log.close()
        if self.process.returncode:
            own = [line for line in lines if line.startswith("mvdiff: ")]
            raise RunError((own or lines or [f"mvdiff ended with {self.process.returncode}."])[-1])


def generate_command(command: str, photo: Path, folder: Path, num_hypotheses: int, preset: str, seed: int) -> list[str]:
    """Arguments that generate a run in ``folder``; an interrupted one is continued."""
    options = {"--output-dir": folder, "--num-hypotheses": num_hypotheses, "--preset": preset, "--seed": seed}
    return [command, "generate", str(photo), *(str(word) for option in options.items() for word in option)]


def progress(folder: Path, num_hypotheses: int) -> str:
    """Stage of a running generation, from the record in its folder."""
    try:
        record = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return "loading the model"
    sampled = sum(name.endswith("views.safetensors") for name in record.get("files", []))
    if sampled < num_hypotheses:
        return f"sampled {sampled} of {num_hypotheses} hypotheses"
    return "posterior and files" if "reconstruct" in record.get("seconds", {}) else "reconstructing"
