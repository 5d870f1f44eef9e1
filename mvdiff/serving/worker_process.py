"""A worker process as the server sees it: one JSON object a line goes in by its standard input and comes out."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator
from typing import Any

#: Bytes of one line; a job's request is a few hundred.
_LONGEST = 1 << 22


class WorkerEnded(Exception):
    """The process ended while something was expected from it."""


class WorkerProcess:
    """One process that holds the model of one device (or none, for work beside the model).

    It ends with the server, however that ends: its standard input closes.
    """

    def __init__(self, setup: dict[str, Any]) -> None:
        """``setup``: what :mod:`mvdiff.serving.worker` reads first."""
        self.setup = setup
        self.info: dict[str, Any] = {}
        """Facts from the process once it was ready: its device, the model's name and license."""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.alive else None

    async def ensure_ready(self) -> None:
        """Start the process where there is none. Raises :class:`WorkerEnded` with the reason where it cannot."""
        if self.alive:
            return
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mvdiff.serving.worker", stdin=pipe, stdout=pipe, limit=_LONGEST
        )
        await self._send(self.setup)
        event = await self._receive()
        if event["event"] != "ready":
            self.kill()
            raise WorkerEnded(event.get("error", "it did not start"))
        self.info = event

    async def run(self, task: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Events of one task, the last one with the key ``state``."""
        await self._send({"task": task})
        while True:
            event = await self._receive()
            yield event
            if event["event"] == "end":
                return

    async def ask_to_stop(self) -> None:
        """Ask for the task at work to be given up at its next step."""
        if self.alive:
            with contextlib.suppress(WorkerEnded):
                await self._send({"cancel": True})

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """Kill the process and wait for its end."""
        self.kill()
        if self._process is not None:
            await self._process.wait()

    async def _send(self, message: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            await self._process.stdin.drain()
        except OSError as error:
            raise WorkerEnded(str(error)) from error

    async def _receive(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            code = await self._process.wait()
            raise WorkerEnded(f"it ended with code {code}")
        return json.loads(line)
