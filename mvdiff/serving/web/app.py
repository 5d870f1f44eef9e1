"""The web application: routes, errors, and the offline OpenAPI page."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

import mvdiff
from mvdiff.serving.config import ServerConfig
from mvdiff.serving.engine import Engine, QueueFullError
from mvdiff.serving.photos import remove_old_photos
from mvdiff.serving.web import jobs, photos, runs, status
from mvdiff.serving.web.guard import Guard
from mvdiff.serving.web.models import Error
from mvdiff.serving.web.session import Sessions
from recon.core.errors import InputError

PAGES = Path(__file__).parent.parent / "pages"
#: Seconds after which a client may ask again where the queue is full.
_AGAIN = 10


def create_app(config: ServerConfig) -> FastAPI:
    """The application; it starts its workers when it is started, and stops them when it ends."""
    engine = Engine(config)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        remove_old_photos(engine.state_dir)
        yield
        await engine.close()

    app = FastAPIOffline(
        title="mvdiff",
        summary="One photo in, N plausible 3D objects out, with calibrated uncertainty.",
        version=mvdiff.__version__,
        lifespan=lifespan,
        redoc_url=None,
        static_url="/docs-assets",
        responses={code: {"model": Error} for code in (400, 401, 404, 413, 415, 422, 429)},
    )
    app.state.engine = engine
    for part in (photos, jobs, runs, status):
        app.include_router(part.router)
    _add_errors(app)
    if config.pages:
        app.mount("/", StaticFiles(directory=PAGES, html=True), name="pages")
    app.add_middleware(Sessions)
    app.add_middleware(
        Guard, address=config.address, max_bytes=config.limits.max_bytes, metrics=engine.metrics
    )  # outermost
    return app


def _add_errors(app: FastAPI) -> None:
    """Each error is one sentence under the key ``error``."""

    def sentence(status_code: int, text: str, headers: Any = None) -> Response:
        return JSONResponse({"error": text}, status_code, headers)

    @app.exception_handler(InputError)
    async def bad_input(request: Request, error: InputError) -> Response:
        folder = str(request.app.state.engine.config.output_dir)
        return sentence(422, " ".join(str(error).replace(f"{folder}/", "").split()))

    @app.exception_handler(QueueFullError)
    async def full(request: Request, error: QueueFullError) -> Response:
        text = f"The queue is full: ask again in {_AGAIN} seconds."
        return sentence(429, text, {"Retry-After": str(_AGAIN)})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
        return sentence(422, f"{place or 'The body'}: {first['msg']}."[:300])

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return sentence(error.status_code, str(error.detail), error.headers)
