"""One finished run as a small web site: its page, and each of its files. Neither a model nor torch is loaded."""

import html
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from mvdiff.serving.runs import RunFolder
from mvdiff.serving.server import run_app
from recon.core.errors import InputError

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}</style>
<h1>{title}</h1><p>This run has no page of its own; these are its files.</p><ul>{files}</ul></html>"""


def view(run_dir: Path, host: str = "127.0.0.1", port: int = 0, open_browser: bool = True) -> None:
    """Serve a run's report, or the explorer of its scenes, until the process is stopped.

    Raises:
        InputError: there is no finished run.
    """
    run_app(view_app(run_dir), host, port, open_browser)


def view_app(run_dir: Path) -> Starlette:
    """The application of :func:`view`. Raises :class:`InputError` where there is no finished run."""
    run = RunFolder.open(run_dir.resolve())
    if not run.complete:
        raise InputError(f"The run in '{run_dir}' is not complete: run its command again to go on.")

    def page(request: Request) -> Response:
        return _listing(run) if run.page is None else FileResponse(run.path / run.page)

    def file(request: Request) -> Response:
        try:
            return FileResponse(run.file(request.path_params["path"]))
        except InputError as error:
            return PlainTextResponse(str(error).replace(f"{run.path}", run.name), 404)

    return Starlette(routes=[Route("/", page), Route("/{path:path}", file)])


def _listing(run: RunFolder) -> HTMLResponse:
    names: Sequence[str] = run.manifest["files"]
    rows = "".join(f'<li><a href="/{quote(name)}">{html.escape(name)}</a></li>' for name in sorted(names))
    return HTMLResponse(_PAGE.format(title=html.escape(run.name), files=rows))
