"""The process beside the server that holds a model: ``python -m mvdiff.serving.worker``.

It reads a line of JSON with its setup, then one for each task, and writes what happens as lines of JSON. It ends when
its standard input closes, at once: what it has written so far is whole, and the task resumes from there.
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from recon.core.errors import InputError


class Cancelled(BaseException):
    """The task is not wanted any more; no handler of ordinary errors may stop it."""


@dataclass
class Desk:
    """The worker's connection to the server, and the task at work."""

    out: TextIO
    tasks: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)
    seconds: dict[str, float] = field(default_factory=dict)
    _stage: tuple[str, float] | None = None

    def tell(self, event: str, **values: Any) -> None:
        self.out.write(json.dumps({"event": event, **values}, allow_nan=False) + "\n")
        self.out.flush()

    def begin(self) -> None:
        """Forget the task before."""
        self.cancelled.clear()
        self.seconds, self._stage = {}, None

    def check(self) -> None:
        """Raise :class:`Cancelled` where the task is not wanted any more."""
        if self.cancelled.is_set():
            raise Cancelled

    def progress(self, stage: str, done: int, total: int) -> None:
        """Report progress, as runs do; a canceled task ends here."""
        self.check()
        now = time.perf_counter()
        if self._stage is not None:
            name, since = self._stage
            self.seconds[name] = round(self.seconds.get(name, 0.0) + now - since, 3)
        self._stage = (stage, now)
        self.tell("progress", stage=stage, done=done, total=total, seconds=self.seconds)

    def listen(self) -> None:
        """Read lines until the server is gone, then end this process."""
        for line in sys.stdin:
            message = json.loads(line)
            if "task" in message:
                self.tasks.put(message["task"])
            else:
                self.cancelled.set()
        os._exit(0)


def main() -> int:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints does not disturb the lines
    desk = Desk(out)
    setup = json.loads(sys.stdin.readline() or "null")
    if setup is None:
        return 0
    threading.Thread(target=desk.listen, daemon=True).start()
    try:
        crew = _hire(desk, setup)
    except (InputError, ImportError, OSError) as error:
        desk.tell("broken", error=" ".join(str(error).split()))
        return 1
    desk.tell("ready", **crew.info())
    while True:
        task = desk.tasks.get()
        desk.begin()
        desk.tell("end", **_outcome(crew, desk, task), **crew.memory())


def _hire(desk: Desk, setup: dict[str, Any]) -> Any:
    from mvdiff.serving.tasks import Sampling
    from mvdiff.serving.tools import Tools

    folder = Path(setup["output_dir"])
    if setup["model"] is None:
        segmenter = setup["extras"]["segmenter"]
        return Tools(desk, folder, folder / setup["state"], None if segmenter is None else Path(segmenter))
    return Sampling.load(desk, folder, folder / setup["state"], setup)


def _outcome(crew: Any, desk: Desk, task: dict[str, Any]) -> dict[str, Any]:
    """State of a task that has ended, and the sentence for its user where it failed."""
    try:
        return {"state": "done", **crew.do(task)}
    except Cancelled:
        return {"state": "cancelled"}
    except InputError as error:
        return {"state": "failed", "error": " ".join(str(error).split())}
    except MemoryError:
        return {"state": "failed", "error": "The memory does not suffice: ask for fewer hypotheses."}
    except Exception as error:  # whatever it is, the next task is served
        traceback.print_exc()
        memory = "out of memory" in str(error).lower()
        sentence = (
            "The GPU's memory does not suffice: ask for fewer hypotheses."
            if memory
            else f"An internal error ({type(error).__name__}) ended the job: the server's log has the details."
        )
        return {"state": "failed", "error": sentence}


if __name__ == "__main__":
    sys.exit(main())
