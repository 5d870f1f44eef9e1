"""Requests that are refused before any route sees them: foreign hosts and origins, large bodies, wrong types."""

from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mvdiff.serving.config import Address
from mvdiff.serving.metrics import Metrics

_SAFE = ("GET", "HEAD", "OPTIONS")
_TYPES = ("application/json", "multipart/form-data", "image/png")

_PAGES = (
    "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'"
)
_DOCS = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'"
)
#: Pages of runs may come from anywhere: they get an origin of their own, without this server's cookies.
_RUNS = "sandbox allow-scripts allow-pointer-lock allow-downloads; frame-ancestors 'self'"


class Guard:
    """ASGI middleware that refuses requests and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, address: Address, max_bytes: int, metrics: Metrics) -> None:
        self.app, self.max_bytes, self.metrics = app, max_bytes, metrics
        local = {"127.0.0.1", "localhost", "[::1]", "testserver"} if address.local else set()
        self.hosts = {host.lower() for host in (*local, *address.allowed_host)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= 400:
                    self.metrics.refused.labels(message["status"]).inc()
                _secure(MutableHeaders(scope=message), scope["path"])
            await send(message)

        refused = self._refused(scope["method"], headers)
        if refused is not None:
            await JSONResponse({"error": refused[1]}, refused[0])(scope, receive, answer)
            return
        await self.app(scope, _limited(receive, self.max_bytes), answer)

    def _refused(self, method: str, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence for a request that is refused."""
        host = headers.get("host", "")
        if self.hosts and _name(host) not in self.hosts:
            return 400, "This server does not know itself under that name: start it with --allowed-host NAME."
        if method in _SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "Another site may not use this server."
        if origin is None and headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
            return 403, "Another site may not use this server."
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return 400, "The header Content-Length is a number."
        if int(length) > self.max_bytes:
            return 413, too_large(self.max_bytes)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = int(length) > 0 or "transfer-encoding" in headers
        if has_body and kind not in _TYPES:
            return 415, f"The type of the content is one of {', '.join(_TYPES)}, not '{kind[:60]}'."
        return None


def too_large(limit: int) -> str:
    """Sentence for an upload that is too large."""
    return f"An upload may have up to {limit / 1e6:g} MB: reduce the picture."


def _limited(receive: Receive, limit: int) -> Receive:
    """The body of a request, up to a limit: not every request states its length."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message: Any = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, too_large(limit))
        return message

    return counted


def _name(host: str) -> str:
    """``Host`` without its port, in lower case."""
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdigit() else host.lower()


def _secure(headers: MutableHeaders, path: str) -> None:
    policy = _RUNS if path.startswith("/runs/") else _DOCS if path == "/docs" else _PAGES
    headers["Content-Security-Policy"] = policy
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if path.startswith("/api/"):
        headers.setdefault("Cache-Control", "no-store")
