"""Routes of jobs: ask, follow, cancel, fetch."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Form, HTTPException, Request
from fastapi.responses import FileResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from mvdiff.serving.choices import backbones, find, reconstructors, settled
from mvdiff.serving.jobs import Job, Kind
from mvdiff.serving.paintings import Paintings
from mvdiff.serving.photos import PhotoFolder, safe_name
from mvdiff.serving.previews import preview_name
from mvdiff.serving.runs import RunFolder
from mvdiff.serving.web import models, requests
from mvdiff.serving.web.photos import decode, engine_of
from mvdiff.serving.web.session import owner_of
from recon.core.errors import InputError
from recon.core.paths import inside, is_file

router = APIRouter(prefix="/api", tags=["jobs"])
#: Kind of a job, its request, and the start of its run's name where it fills one.
Checked = tuple[Kind, dict[str, Any], str | None]


@router.post("/generate", status_code=202)
async def generate(request: Request, form: Annotated[requests.Upload, Form()]) -> models.JobRecord:
    """Upload a photo and sample hypotheses of it, in one request."""
    _check_count(request, form.num_hypotheses)
    photo = await decode(engine_of(request), await form.photo.read(), form.photo.filename)
    body = requests.Generate(kind="generate", photo=photo.id, **form.model_dump(exclude={"photo"}))
    return _submit(request, *_checked(request, body))


@router.post("/jobs", status_code=202)
async def add_job(request: Request, body: Annotated[requests.Request, Body()]) -> models.JobRecord:
    """Queue a job: generate, scene, feedback, refine, edit, next_view, export or select."""
    return _submit(request, *_checked(request, body))


def _checked(request: Request, body: requests.Request) -> Checked:
    """The job's kind, its request and the start of its run's name; all that can be refused at once is."""
    values, engine = body.model_dump(exclude={"kind"}), engine_of(request)
    if isinstance(body, requests.Generate | requests.Scene | requests.Derived):
        _check_count(request, body.num_hypotheses)
    if isinstance(body, requests.Generate | requests.Scene | requests.Refine | requests.Select):
        photo = PhotoFolder.find(engine.state_dir, body.photo)
    if isinstance(body, requests.Generate):
        photo.require_object()
        find(reconstructors(engine.config), body.reconstructor)
        choice = find(backbones(engine.config), body.backbone)
        if choice.mode != "object":
            raise InputError(f"'{choice.name}' makes scenes of a place: send a job of the kind \"scene\".")
        values = settled(values, choice)
    if isinstance(body, requests.Generate | requests.Scene):
        return body.kind, values, photo.record["name"]
    if isinstance(body, requests.Select):
        return body.kind, values, None
    run = RunFolder.find(engine.config.output_dir, body.run)
    _check_run(run, body)
    if isinstance(body, requests.Edit):
        Paintings(engine.state_dir).require(body.picture)
    if isinstance(body, requests.Refine):
        photo.require_object()
    return body.kind, values, safe_name(run.record()["photo"]) if isinstance(body, requests.Derived) else None


def _check_run(run: RunFolder, body: requests.OfRun) -> None:
    """Raise :class:`InputError` where a run has not what is asked of it."""
    if not run.hypotheses:
        raise InputError(f"The run '{run.name}' has no finished hypotheses: choose another one, or wait for its end.")
    chosen = [*body.keep, *body.reject] if isinstance(body, requests.Feedback) else []
    if isinstance(body, requests.Export | requests.Edit) and body.hypothesis is not None:
        chosen = [body.hypothesis]
    if any(k >= run.hypotheses for k in chosen):
        raise InputError(f"The run has {run.hypotheses} hypotheses, 0 to {run.hypotheses - 1}; {max(chosen)} is none.")
    if isinstance(body, requests.Feedback) and not chosen:
        raise InputError("Keep or reject a hypothesis first.")
    if isinstance(body, requests.Edit) and run.view(body.hypothesis, body.view) is None:
        raise InputError(f"Hypothesis {body.hypothesis} has no view {body.view}: take one of those that are shown.")


@router.get("/jobs")
async def list_jobs(request: Request) -> list[models.JobRecord]:
    """Jobs of this session, latest first."""
    return [_record(request, job) for job in engine_of(request).table.of_owner(owner_of(request))]


@router.get("/jobs/{job_id}")
async def get_job(request: Request, job_id: str) -> models.JobRecord:
    """The job now."""
    return _record(request, _find(request, job_id))


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def follow_job(request: Request, job_id: str) -> EventSourceResponse:
    """The job now and after each change, as server-sent events of the type ``job`` with the job as JSON."""
    _find(request, job_id)

    async def events() -> AsyncIterator[ServerSentEvent]:
        async for job in engine_of(request).watch(job_id):
            yield ServerSentEvent(_record(request, job).model_dump_json(), event="job")

    return EventSourceResponse(events(), ping=15)


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(request: Request, job_id: str) -> models.JobRecord:
    """Give a job up, whatever it does; one that is over stays as it is."""
    return _record(request, await engine_of(request).cancel(_find(request, job_id)))


@router.get("/jobs/{job_id}/previews/{chunk}", response_class=Response)
def get_preview(request: Request, job_id: str, chunk: int) -> Response:
    """Expected views of one chunk of hypotheses while they are denoised: a row for each, as WebP."""
    job = _find(request, job_id)
    path = engine_of(request).job_dir(job.id) / preview_name(chunk)
    if not 0 <= chunk < len(job.previews) or not is_file(path):
        raise HTTPException(404, "There is no such preview.")
    # Read as a whole: while a file is sent in pieces, the next preview may take its place.
    return Response(path.read_bytes(), media_type="image/webp")


@router.get("/jobs/{job_id}/files/{name}", response_class=FileResponse)
async def get_file(request: Request, job_id: str, name: str) -> FileResponse:
    """A file that an export wrote."""
    job = _find(request, job_id)
    path = inside(engine_of(request).job_dir(job.id), name)
    if name not in job.files or not is_file(path):
        raise HTTPException(404, "There is no such file.")
    return FileResponse(path, filename=name, media_type="application/octet-stream")


def _submit(request: Request, kind: Kind, values: dict[str, Any], name: str | None) -> models.JobRecord:
    return _record(request, engine_of(request).submit(kind, owner_of(request), values, name))


def _check_count(request: Request, count: int | None) -> None:
    most = engine_of(request).config.limits.max_hypotheses
    if count is not None and count > most:
        raise InputError(f"This server samples up to {most} hypotheses at a time, not {count}.")


def _find(request: Request, job_id: str) -> Job:
    job = engine_of(request).table.get(job_id)
    if job is None:
        raise HTTPException(404, "There is no such job.")
    return job


def _record(request: Request, job: Job) -> models.JobRecord:
    return models.JobRecord.of(job, engine_of(request).table.ahead(job) if job.state == "queued" else 0)
