"""Jobs and their table on disk, which outlives the server.

SQLite of the standard library rather than a queue package: those of PyPI that need no broker (huey, persist-queue) lose
or repeat a task whose worker was killed, and know neither progress nor the cancelling of a task at work.
"""

import json
import sqlite3
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["generate", "scene", "feedback", "refine", "edit", "export", "select", "next_view"]
#: Kinds that need the model; the others run beside it.
SAMPLING: tuple[Kind, ...] = ("generate", "scene", "feedback", "refine", "edit")
TOOLS: tuple[Kind, ...] = ("export", "select", "next_view")


@dataclass(frozen=True)
class Job:
    """One request and what became of it."""

    id: str
    kind: Kind
    owner: str
    """Session that asked for it."""
    request: dict[str, Any]
    """JSON values, as the API checked them."""
    run: str | None = None
    """Name of the run folder that it fills."""
    state: State = "queued"
    stage: str = ""
    done: int = 0
    total: int = 0
    previews: list[int] = field(default_factory=list)
    """Number of times that the preview of each chunk of hypotheses was drawn."""
    files: list[str] = field(default_factory=list)
    """Files to download, of an export."""
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    attempts: int = 0
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds that each stage took."""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "cancelled")


_FIELDS = [each.name for each in fields(Job)]
_JSON = ("request", "previews", "files", "notes", "seconds")


class JobTable:
    """All jobs of one output folder. Used from one thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._rows.row_factory = sqlite3.Row
        self._rows.execute("PRAGMA journal_mode = WAL")
        self._rows.execute("PRAGMA synchronous = NORMAL")
        self._rows.execute(f"CREATE TABLE IF NOT EXISTS jobs ({', '.join(_FIELDS)}, PRIMARY KEY (id))")

    def close(self) -> None:
        self._rows.close()

    def add(self, job: Job) -> Job:
        values = [_packed(name, getattr(job, name)) for name in _FIELDS]
        self._rows.execute(f"INSERT INTO jobs VALUES ({', '.join('?' * len(values))})", values)
        return job

    def get(self, job_id: str) -> Job | None:
        row = self._rows.execute("SELECT * FROM jobs WHERE id = ?", [job_id]).fetchone()
        return None if row is None else _job(row)

    def update(self, job: Job, **entries: Any) -> Job:
        """Set entries; returns the job with them."""
        assignments = ", ".join(f"{name} = ?" for name in entries)
        values = [_packed(name, value) for name, value in entries.items()]
        self._rows.execute(f"UPDATE jobs SET {assignments} WHERE id = ?", [*values, job.id])
        return replace(job, **entries)

    def next(self, kinds: tuple[Kind, ...]) -> Job | None:
        """The queued job that is served next: the oldest of the owner who was served longest ago."""
        row = self._rows.execute(
            f"SELECT * FROM jobs WHERE state = 'queued' AND kind IN ({', '.join('?' * len(kinds))}) "
            "ORDER BY (SELECT max(o.started) FROM jobs o WHERE o.owner = jobs.owner) NULLS FIRST, created LIMIT 1",
            kinds,
        ).fetchone()
        return None if row is None else _job(row)

    def ahead(self, job: Job) -> int:
        """Number of queued jobs that were asked for earlier."""
        query = "SELECT count(*) FROM jobs WHERE state = 'queued' AND created < ?"
        return self._rows.execute(query, [job.created]).fetchone()[0]

    def count(self, state: State) -> int:
        return self._rows.execute("SELECT count(*) FROM jobs WHERE state = ?", [state]).fetchone()[0]

    def of_owner(self, owner: str, limit: int = 200) -> list[Job]:
        """Jobs of one session, latest first."""
        query = "SELECT * FROM jobs WHERE owner = ? ORDER BY created DESC LIMIT ?"
        return [_job(row) for row in self._rows.execute(query, [owner, limit])]

    def owners(self) -> dict[str, str]:
        """Run folder to the session that it belongs to."""
        return dict(self._rows.execute("SELECT run, owner FROM jobs WHERE run IS NOT NULL"))

    def latest_done(self, kind: Kind, limit: int) -> list[Job]:
        """Finished jobs of one kind, latest first."""
        query = "SELECT * FROM jobs WHERE state = 'done' AND kind = ? ORDER BY ended DESC LIMIT ?"
        return [_job(row) for row in self._rows.execute(query, [kind, limit])]

    def in_state(self, state: State) -> list[Job]:
        return [_job(row) for row in self._rows.execute("SELECT * FROM jobs WHERE state = ?", [state])]


def _packed(name: str, value: Any) -> Any:
    return json.dumps(value, allow_nan=False) if name in _JSON else value


def _job(row: sqlite3.Row) -> Job:
    return Job(**{name: json.loads(row[name]) if name in _JSON else row[name] for name in _FIELDS})
