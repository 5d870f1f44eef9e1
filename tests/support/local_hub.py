"""A model hub on this machine, as far as ``huggingface_hub`` asks one: listings, headers and files."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub(ThreadingHTTPServer):
    """Repositories are the folders ``root/OWNER/NAME``, all at one commit."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.served: list[str] = []
        """Paths of the files that were sent."""
        self.damaged: set[str] = set()
        """Names of the files that are sent with a wrong byte."""
        self.cut_after: int | None = None
        """Bytes after which the connection breaks, once."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, repo: str) -> dict[str, Path]:
        folder = self.root / repo
        return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


class _Handler(BaseHTTPRequestHandler):
    server: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._listing("/".join(parts[2:4]), parts[4:])
        repo, rest = "/".join(parts[:2]), parts[2:]
        path = self.server.files(repo).get("/".join(rest[2:])) if rest[:1] == ["resolve"] else None
        if path is None or rest[1] != COMMIT:
            return self._refuse("EntryNotFound")
        return self._file(path, body)

    def _listing(self, repo: str, rest: list[str]) -> None:
        files = self.server.files(repo)
        if not files:
            return self._refuse("RepoNotFound")
        if rest[:1] == ["revision"] and rest[1] != COMMIT:
            return self._refuse("RevisionNotFound")
        if rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": name, "oid": _git(path), "size": path.stat().st_size, **_lfs(path)}
                for name, path in files.items()
            ]
            return self._send(json.dumps(entries).encode(), {"Content-Type": "application/json"})
        siblings = [{"rfilename": name, "size": path.stat().st_size, **_lfs(path)} for name, path in files.items()]
        answer = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}
        return self._send(json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, path: Path, body: bool) -> None:
        data = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if path.name in self.server.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if not body:
            return self._send(b"", headers | {"Content-Length": str(len(data))})
        self.server.served.append(path.name)
        start = self.headers.get("Range")
        first = 0 if start is None else int(start.removeprefix("bytes=").split("-")[0])
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        return self._send(data[first:], headers, 206 if first else 200)

    def _refuse(self, code: str) -> None:
        self._send(b"{}", {"X-Error-Code": code, "X-Error-Message": code}, 404)

    def _send(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        cut = self.server.cut_after
        if cut is not None and len(data) > cut:
            self.server.cut_after = None
            self.wfile.write(data[:cut])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(data)


def _git(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def _lfs(path: Path) -> dict:
    if path.suffix != ".safetensors":
        return {}
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"lfs": {"sha256": digest, "oid": digest, "size": len(data), "pointerSize": 134}}


@contextmanager
def local_hub(root: Path) -> Iterator[LocalHub]:
    """Serve ``root`` until the block ends."""
    hub = LocalHub(root)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
