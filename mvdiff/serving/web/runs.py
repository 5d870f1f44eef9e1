"""Routes of run folders."""

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

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
    return models.RunDetails(**run.record(), files=run.manifest["files"], summary=run.summary())


@router.get("/runs/{name}/{path:path}", response_class=FileResponse)
def get_run_file(request: Request, name: str, path: str) -> FileResponse:
    """A file of a run."""
    return FileResponse(RunFolder.find(engine_of(request).config.output_dir, name).file(path))
