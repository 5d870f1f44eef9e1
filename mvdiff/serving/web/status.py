"""Routes about the server itself."""

from typing import Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import mvdiff
from mvdiff.serving.choices import backbones, reconstructors
from mvdiff.serving.config import api_key
from mvdiff.serving.expectation import LATEST, expectations
from mvdiff.serving.jobs import SAMPLING
from mvdiff.serving.lanes import Lane
from mvdiff.serving.web import models
from mvdiff.serving.web.photos import engine_of
from mvdiff.serving.web.session import LOGIN, is_key, key_cookie
from recon.io.export import FORMATS

router = APIRouter(tags=["server"])
_VIEWS = "sampled views of a hypothesis, pictures and their cameras in one archive"


@router.get("/api/info")
async def get_info(request: Request) -> models.Information:
    """Version, workers, formats and limits."""
    engine = engine_of(request)
    limits = engine.config.limits
    return models.Information(
        version=mvdiff.__version__,
        workers=[_worker(lane) for lane in engine.lanes if lane.kinds == SAMPLING],
        formats={name: what for name, (_, _, what) in FORMATS.items()} | {"views": _VIEWS},
        limits={name: float(value) for name, value in vars(limits).items()},
    )


@router.get("/api/choices")
async def get_choices(request: Request) -> models.Choices:
    """Backbones, scene mode and reconstructors: what each can do, its license, and the seconds that it takes here."""
    engine = engine_of(request)
    on_cpu = all(lane.worker.info.get("device", "cpu") == "cpu" for lane in engine.lanes if lane.kinds == SAMPLING)
    done = [*engine.table.latest_done("generate", LATEST), *engine.table.latest_done("scene", LATEST)]
    return models.Choices(
        backbones=[models.ChoiceRecord.of(each) for each in backbones(engine.config)],
        reconstructors=[models.ChoiceRecord.of(each) for each in reconstructors(engine.config)],
        segmenter="color and edges" if engine.config.extras.segmenter is None else "sam2",
        seconds={name: models.Seconds(**vars(each)) for name, each in expectations(done, on_cpu).items()},
    )


@router.get("/health")
async def get_health(request: Request) -> Response:
    """Status 200 while every device's worker can work, else 503."""
    lanes = [lane for lane in engine_of(request).lanes if lane.kinds == SAMPLING]
    healthy = all(lane.error is None for lane in lanes)
    record = {"status": "ok" if healthy else "broken", "workers": {lane.name: _state(lane) for lane in lanes}}
    return JSONResponse(record, 200 if healthy else 503)


@router.get("/metrics")
async def get_metrics(request: Request) -> Response:
    """Queue, seconds per stage and memory, in Prometheus' text format."""
    engine = engine_of(request)
    engine.metrics.queued.set(engine.table.count("queued"))
    engine.metrics.running.set(engine.table.count("running"))
    return Response(engine.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


class Login(BaseModel):
    """The server's key."""

    key: str = Field(max_length=1000)


@router.post(LOGIN, status_code=204)
async def login(body: Login) -> Response:
    """Show the key once; the browser keeps a cookie in its place."""
    if api_key() is not None and not is_key(body.key):
        raise HTTPException(401, "This is not the server's key.")
    return Response(status_code=204, headers={"Set-Cookie": key_cookie()})


def _state(lane: Lane) -> Literal["starting", "ready", "working", "broken"]:
    if lane.error is not None:
        return "broken"
    if not lane.worker.info:
        return "starting"
    return "ready" if lane.job is None else "working"


def _worker(lane: Lane) -> models.Worker:
    known = {name: lane.worker.info.get(name) for name in ("device", "backbone", "license")}
    return models.Worker(name=lane.name, state=_state(lane), error=lane.error, **known)
