"""A client of the HTTP API (``mvdiff serve``): a photo in, a run folder out. Needs the extra ``client``.

Example:
    >>> from mvdiff.client import Client
    >>> with Client("http://127.0.0.1:7860") as client:  # doctest: +SKIP
    ...     job = client.generate("photo.png", num_hypotheses=4)
    ...     job.wait(lambda state: print(state.stage, state.done, state.total))
    ...     job.save("out")
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec

from recon.core.errors import InputError
from recon.core.paths import inside
from recon.io.folders import atomic_write

#: Seconds for which a lost connection is tried again.
_PATIENCE = 30.0
#: Longer than the server's silence between two events.
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """A job at one moment."""

    id: str
    kind: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    run: str | None
    """Name of the run that it fills."""
    stage: str
    """Stage at work: sample, reconstruct, posterior, write or export."""
    done: int
    total: int
    ahead: int
    """Number of jobs that are served earlier."""
    previews: list[int]
    files: list[str]
    notes: list[str]
    error: str | None
    seconds: dict[str, float]

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")


class ServerError(InputError):
    """The server refused a request, or a job failed; the message is the server's sentence."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status of a refused request."""


@dataclass(frozen=True)
class RemoteJob:
    """A job on a server."""

    client: "Client" = field(repr=False)
    id: str

    @property
    def state(self) -> JobState:
        """The job now."""
        return self.client.get(f"/api/jobs/{self.id}", JobState)

    def events(self) -> Iterator[JobState]:
        """The job now and after each change until it is over, through restarts of the server."""
        lost_since: float | None = None
        while True:
            try:
                for state in self.client.stream(f"/api/jobs/{self.id}/events"):
                    lost_since = None
                    yield state
                    if state.over:
                        return
            except httpx.TransportError as error:
                lost_since = lost_since or time.monotonic()
                if time.monotonic() - lost_since > _PATIENCE:
                    raise ServerError(f"The server does not answer: {error}.") from error
            time.sleep(0.5)

    def wait(self, on_change: Callable[[JobState], object] | None = None) -> JobState:
        """Wait for the end. Raises :class:`ServerError` where it failed or was canceled."""
        for state in self.events():
            if on_change is not None:
                on_change(state)
        if state.state != "done":
            raise ServerError(state.error or "The job was cancelled.")
        return state

    def cancel(self) -> JobState:
        """Give the job up."""
        return self.client.post(f"/api/jobs/{self.id}/cancel", JobState)

    def save(self, folder: str | os.PathLike, names: Sequence[str] | None = None) -> list[Path]:
        """Download the files of a finished job (some or all) into ``folder``; returns their paths."""
        state, target = self.wait(), Path(folder)
        if state.files:
            place, known = f"/api/jobs/{self.id}/files", state.files
        else:
            place = f"/runs/{quote(state.run or '')}"
            known = ["manifest.json", *self.client.get(f"/api/runs/{quote(state.run or '')}", _Run).files]
        paths = []
        for name in known if names is None else names:
            path = inside(target, name)
            with atomic_write(path) as temporary:
                temporary.write_bytes(self.client.fetch(f"{place}/{quote(name)}"))
            paths.append(path)
        return paths


class _Run(msgspec.Struct, frozen=True):
    files: list[str]


class _Photo(msgspec.Struct, frozen=True):
    id: str


class Client:
    """A session with one server; jobs of other sessions are not listed in it."""

    def __init__(self, url: str = "http://127.0.0.1:7860", api_key: str | None = None) -> None:
        """``api_key``: the key of a server that asks for one."""
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT, trust_env=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def generate(self, photo: str | os.PathLike, **settings: Any) -> RemoteJob:
        """Sample hypotheses of a photo.

        Args:
            photo: file of the photo.
            settings: fields of ``POST /api/generate``, such as ``num_hypotheses=4, seed=0, preset="fast"``.
        """
        form = {name: str(value) for name, value in settings.items() if value is not None}
        return self._job(self._send("POST", "/api/generate", data=form, files=_upload(photo)))

    def feedback(self, run: str, keep: Sequence[int] = (), reject: Sequence[int] = (), **settings: Any) -> RemoteJob:
        """Sample more like the hypotheses of a finished run that were kept."""
        return self._ask("feedback", run=run, keep=list(keep), reject=list(reject), **settings)

    def scene(self, photo: str | os.PathLike, **settings: Any) -> RemoteJob:
        """Sample scenes of a photo of a place; ``settings`` are fields of the job, such as ``num_hypotheses=2``."""
        return self._ask("scene", photo=self.upload(photo), **settings)

    def refine(self, run: str, photo: str | os.PathLike, azimuth: float | None = None, **settings: Any) -> RemoteJob:
        """Condition a finished run on a second photo, taken ``azimuth`` degrees around the object.

        Without an azimuth the server estimates it; the job's notes say what it found.
        """
        return self._ask("refine", run=run, photo=self.upload(photo), azimuth=azimuth, **settings)

    def edit(self, run: str, hypothesis: int, view: int, painted: str | os.PathLike, **settings: Any) -> RemoteJob:
        """Condition a finished run on a copy of one of its sampled views that was painted over."""
        headers, (_, body) = {"Content-Type": "image/png"}, _upload(painted)["photo"]
        sent = self._send("POST", f"/api/runs/{quote(run)}/paintings", content=body, headers=headers)
        picture = self._decoded(sent, _Photo).id
        return self._ask("edit", run=run, hypothesis=hypothesis, view=view, picture=picture, **settings)

    def next_view(self, run: str) -> RemoteJob:
        """Plan the next photo of a finished run; the run's ``next_view.json`` has the result."""
        return self._ask("next_view", run=run)

    def upload(self, photo: str | os.PathLike) -> str:
        """Upload a photo; returns its id."""
        return self._decoded(self._send("POST", "/api/photos", files=_upload(photo)), _Photo).id

    def export(self, run: str, format: str = "glb", hypothesis: int | None = None, size_mm: float = 100.0) -> RemoteJob:
        """Write one object of a finished run (by default the median shape) in another format."""
        return self._ask("export", run=run, format=format, hypothesis=hypothesis, size_mm=size_mm)

    def jobs(self) -> list[JobState]:
        """Jobs of this session, latest first."""
        return self.get("/api/jobs", list[JobState])

    def get(self, path: str, kind: Any) -> Any:
        """The answer to a GET request as a value of ``kind``."""
        return self._decoded(self._send("GET", path), kind)

    def post(self, path: str, kind: Any, **options: Any) -> Any:
        """The answer to a POST request as a value of ``kind``."""
        return self._decoded(self._send("POST", path, **options), kind)

    def fetch(self, path: str) -> bytes:
        """A file."""
        return self._send("GET", path).content

    def stream(self, path: str) -> Iterator[JobState]:
        """Server-sent events."""
        with self._http.stream("GET", path) as answer:
            if answer.is_error:
                answer.read()
                raise _refused(answer)
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield msgspec.json.decode(line[5:], type=JobState)

    def _ask(self, kind: str, **body: Any) -> RemoteJob:
        return self._job(self._send("POST", "/api/jobs", json={"kind": kind, **body}))

    def _job(self, answer: httpx.Response) -> RemoteJob:
        return RemoteJob(self, self._decoded(answer, JobState).id)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ServerError(f"The server {self._http.base_url} does not answer ({error}): is it running?") from error
        if answer.is_error:
            raise _refused(answer)
        return answer

    def _decoded(self, answer: httpx.Response, kind: Any) -> Any:
        return msgspec.json.decode(answer.content, type=kind)


def _upload(photo: str | os.PathLike) -> dict[str, tuple[str, bytes]]:
    path = Path(photo)
    if not path.is_file():
        raise InputError(f"There is no file '{path}': check the path.")
    return {"photo": (path.name, path.read_bytes())}


def _refused(answer: httpx.Response) -> ServerError:
    """The server's own sentence, where it is one."""
    try:
        sentence = msgspec.json.decode(answer.content, type=dict[str, str])["error"]
    except (msgspec.DecodeError, KeyError):
        sentence = f"The server answered with status {answer.status_code}."
    return ServerError(sentence, answer.status_code)
