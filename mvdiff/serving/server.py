"""Start the web server."""

import socket
import webbrowser
from typing import Any

from mvdiff.serving.config import ServerConfig
from recon.core.errors import InputError


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises :class:`InputError` where the address is taken or is none of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(128)  # whoever asks before the application is ready waits
    except OSError as error:
        bound.close()
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"Cannot listen at {host}:{port} ({reason}): choose another --port.") from error
    return bound


def address_of(bound: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(config: ServerConfig, open_browser: bool = False) -> None:
    """Serve until the process is stopped."""
    config.limits.check()
    config.address.check()
    config.extras.check()
    from mvdiff.serving.web.app import create_app

    run_app(create_app(config), config.address.host, config.address.port, open_browser)


def run_app(app: Any, host: str, port: int, open_browser: bool) -> None:
    """Run an ASGI application until the process is stopped."""
    import uvicorn

    bound = bind(host, port)
    url = address_of(bound)
    print(f"Listening at {url} (stop with Ctrl-C)", flush=True)
    if open_browser:
        webbrowser.open(url)
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, server_header=False)
    uvicorn.Server(settings).run(sockets=[bound])
