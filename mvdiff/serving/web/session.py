"""Who asks: a session for each browser or client, and the key where one is required."""

import hashlib
import hmac
import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mvdiff.serving.config import api_key

_SESSION, _KEY = "mvdiff_session", "mvdiff_key"
_VALUE = re.compile(r"[0-9a-f]{32}")
_GUARDED = ("/api/", "/runs/", "/metrics", "/docs", "/openapi.json")
LOGIN = "/api/login"
_YEAR = 365 * 86400


class Sessions:
    """ASGI middleware: gives each visitor a session cookie, and asks for the key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        if scope["path"].startswith(_GUARDED) and scope["path"] != LOGIN and not shows_key(request):
            refused = JSONResponse({"error": "Show the server's key: Authorization: Bearer KEY."}, 401)
            await refused(scope, receive, send)
            return
        session = request.cookies.get(_SESSION, "")
        known = bool(_VALUE.fullmatch(session))
        session = session if known else secrets.token_hex(16)
        scope.setdefault("state", {})["owner"] = session

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and not known:
                MutableHeaders(scope=message).append("Set-Cookie", _cookie(_SESSION, session))
            await send(message)

        await self.app(scope, receive, answer)


def owner_of(request: Request) -> str:
    """The session of a request."""
    return request.scope["state"]["owner"]


def shows_key(request: Request) -> bool:
    """Whether a request shows the key, or none is required."""
    key = api_key()
    if key is None:
        return True
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and is_key(shown.strip()):
        return True
    return hmac.compare_digest(request.cookies.get(_KEY, "").encode(), _token(key).encode())


def is_key(shown: str) -> bool:
    """Whether ``shown`` is the key."""
    return hmac.compare_digest(shown.encode(), (api_key() or "").encode())


def key_cookie() -> str:
    """The header ``Set-Cookie`` of a browser that has shown the key."""
    return _cookie(_KEY, _token(api_key() or ""))


def _token(key: str) -> str:
    return hashlib.sha256(b"mvdiff cookie " + key.encode()).hexdigest()


def _cookie(name: str, value: str) -> str:
    return f"{name}={value}; Path=/; Max-Age={_YEAR}; HttpOnly; SameSite=Strict"
