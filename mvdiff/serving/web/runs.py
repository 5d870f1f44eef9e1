"""Routes of run folders."""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from mvdiff.serving.paintings import Paintings
from mvdiff.serving.runs import RunFolder, list_runs
from mvdiff.serving.web import models
from mvdiff.serving.web.photos import engine_of
from mvdiff.serving.web.session import owner_of

router = APIRouter(tags=["runs"])


@router.get("/api/runs")
async def get_runs(request: Request) -> list[models.RunRecord]:
    """Runs of this session, and those that commands wrote into the same output folder, latest first."""
    engine, owner = engine_of(request), owner_of(request)
    owners = engine.table.owners()
    found = [run for run in list_runs(engine.config.output_dir) if owners.get(run.name, owner) == owner]
    return [models.RunRecord(**run.record()) for run in found]


@router.get("/api/runs/{name}")
def get_run(request: Request, name: str) -> models.RunDetails:
    """One run with its summary and the names of its files."""
    run = RunFolder.find(engine_of(request).config.output_dir, name)
    known = {"files": run.manifest["files"], "summary": run.summary(), "next_view": run.next_view()}
    return models.RunDetails(**run.record(), **known)


_PNG_BODY = {"requestBody": {"required": True, "content": {"image/png": {"schema": {"type": "string"}}}}}


@router.post("/api/runs/{name}/paintings", status_code=201, openapi_extra=_PNG_BODY)
async def add_painting(request: Request, name: str) -> models.Painting:
    """Keep a sampled view of a run that was painted over, as RGBA PNG, for a job of the kind edit."""
    engine = engine_of(request)
    RunFolder.find(engine.config.output_dir, name)
    return models.Painting(id=await asyncio.to_thread(Paintings(engine.state_dir).add, await request.body()))


@router.get("/runs/{name}/{path:path}", response_class=FileResponse)
def get_run_file(request: Request, name: str, path: str) -> FileResponse:
    """A file of a run."""
    return FileResponse(RunFolder.find(engine_of(request).config.output_dir, name).file(path))
