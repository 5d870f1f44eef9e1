"""Hostile and mistaken requests: each is refused with one sentence."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from studio_server import StudioServer

from mvdiff.client import Client, ServerError
from mvdiff.serving.photos import safe_name
from recon.core.errors import InputError
from recon.io.folders import MANIFEST

pytestmark = pytest.mark.slow


@pytest.fixture
def http(server: StudioServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as opened:
        yield opened


def refused(answer: httpx.Response, status: int, part: str) -> None:
    """One sentence as JSON, without a path of the server."""
    assert answer.status_code == status, answer.text
    sentence = answer.json()["error"]
    assert part in sentence
    assert "/tmp" not in sentence
    assert "\n" not in sentence


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that unpacks to ``side`` x ``side`` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * min(side, 3000)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/runs/../.studio/jobs.sqlite",
        "/runs/.studio/jobs.sqlite",
        "/runs/%2e%2e/%2e%2e/etc/passwd",
        "/runs/RUN/../../secret.txt",
        "/runs/RUN/%2e%2e%2fsecret.txt",
        "/runs/RUN/..%5c..%5csecret.txt",
        "/runs/RUN//etc/passwd",
        "/runs/RUN/.lock",
        "/runs/RUN/views/%00",
        "/api/photos/..%2f..%2fsecret/picture",
        "/api/jobs/..%2f/previews/0",
        "/docs-assets/..%2f..%2fsecret.txt",
        "/..%2fsecret.txt",
    ],
)
def test_paths_stay_inside(server: StudioServer, made: str, path: str) -> None:
    (server.output_dir.parent / "secret.txt").write_text("secret")
    import socket

    request = f"GET {path.replace('RUN', made)} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:  # clients would tidy the path up
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert int(answer.split()[1]) in (404, 405, 422), answer[:200]
    assert b"secret" not in answer.partition(b"\r\n\r\n")[2].replace(b"secret.txt", b"")
    assert b"root:" not in answer


def test_a_link_out_of_a_run_is_not_followed(http: httpx.Client, server: StudioServer, made: str) -> None:
    manifest = (server.output_dir / made / MANIFEST).read_text("utf-8")
    folder = server.output_dir / "linked"
    folder.mkdir()
    (folder / MANIFEST).write_text(manifest)
    (folder / "report.html").symlink_to("/etc/passwd")
    assert http.get("/runs/linked/report.html").status_code == 422


def test_large_uploads_are_refused(http: httpx.Client) -> None:
    refused(http.post("/api/photos", files={"photo": ("a.png", bytes(3_000_000))}), 413, "up to 2 MB")


def test_large_uploads_of_unknown_length_are_refused(http: httpx.Client) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(40):
            yield bytes(65536)

    answer = http.post("/api/photos", content=body(), headers={"content-type": "multipart/form-data; boundary=x"})
    refused(answer, 413, "up to 2 MB")


@pytest.mark.parametrize("side", [9000, 60_000])
def test_decompression_bombs_are_refused(http: httpx.Client, side: int) -> None:
    assert len(bomb(side)) < 100_000
    refused(http.post("/api/photos", files={"photo": ("bomb.png", bomb(side))}), 422, "bomb")


@pytest.mark.parametrize(
    ("name", "content"),
    [("notes.txt", b"no picture"), ("cut.png", bomb(2000)[:80]), ("page.svg", b"<svg/>"), ("empty.png", b"")],
)
def test_what_is_no_picture_is_refused(http: httpx.Client, name: str, content: bytes) -> None:
    refused(http.post("/api/photos", files={"photo": (name, content)}), 422, Path(name).stem)


def test_html_in_file_names_is_dropped(http: httpx.Client, photo: Path) -> None:
    name = "<img src=x onerror=alert(1)>/../\"'.png"
    record = http.post("/api/photos", files={"photo": (name, photo.read_bytes())}).json()
    assert not set(record["name"]) & set("<>\"'/\\.")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\a\\b.jpg", "b"), ("", "photo"), (None, "photo"), ("\x00‮.png", "photo")],
)
def test_safe_names(given: str | None, kept: str) -> None:
    assert safe_name(given) == kept


def test_posts_of_other_sites_are_refused(http: httpx.Client, photo: Path) -> None:
    files = {"photo": ("mug.png", photo.read_bytes())}
    refused(http.post("/api/photos", files=files, headers={"origin": "https://evil.example"}), 403, "Another site")
    refused(http.post("/api/photos", files=files, headers={"origin": "null"}), 403, "Another site")
    refused(http.post("/api/photos", files=files, headers={"sec-fetch-site": "cross-site"}), 403, "Another site")
    own = str(http.base_url).rstrip("/")
    assert http.post("/api/photos", files=files, headers={"origin": own}).status_code == 201


def test_names_that_are_rebound_to_this_machine_are_refused(http: httpx.Client) -> None:
    refused(http.get("/api/info", headers={"host": "evil.example"}), 400, "--allowed-host")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
def test_wrong_content_types_are_refused(http: httpx.Client, kind: str) -> None:
    refused(http.post("/api/jobs", content=b'{"kind": "export"}', headers={"content-type": kind}), 415, "type")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"kind": "magic"}, "kind"),
        ({"kind": "generate", "photo": "0" * 16}, "upload it again"),
        ({"kind": "generate", "photo": "../../x"}, "upload it again"),
        ({"kind": "generate", "photo": "0" * 16, "num_hypotheses": 10_000}, "up to 32"),
        ({"kind": "generate", "photo": "0" * 16, "shell": "rm"}, "shell"),
        ({"kind": "feedback", "run": "../x", "keep": [0]}, "no such run"),
        ({"kind": "export", "run": "nothing", "format": "exe"}, "format"),
    ],
)
def test_wrong_bodies_are_refused(http: httpx.Client, body: dict, part: str) -> None:
    refused(http.post("/api/jobs", json=body), 422, part)


def test_wrong_choices_are_refused(http: httpx.Client, made: str) -> None:
    refused(http.post("/api/jobs", json={"kind": "feedback", "run": made, "keep": [7]}), 422, "7 is none")
    refused(http.post("/api/jobs", json={"kind": "feedback", "run": made}), 422, "Keep or reject")


def test_broken_json_is_refused(http: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    refused(http.post("/api/jobs", content=b"{" * 1000, headers=headers), 422, "JSON")
    refused(http.post("/api/jobs", content=b"\xff\xfe", headers=headers), 422, "JSON")


def test_unknown_jobs_are_not_there(http: httpx.Client) -> None:
    refused(http.get("/api/jobs/0123456789abcdef"), 404, "no such job")
    refused(http.get("/api/jobs/0123456789abcdef/events"), 404, "no such job")
    refused(http.post("/api/jobs/0123456789abcdef/cancel"), 404, "no such job")


def test_every_answer_says_what_a_browser_may_do_with_it(http: httpx.Client, made: str) -> None:
    for path in ("/health", "/api/info", f"/runs/{made}/report.html", "/docs"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors" in headers["content-security-policy"]
    assert "sandbox" in http.get(f"/runs/{made}/report.html").headers["content-security-policy"]


def test_a_key_is_asked_for(weights: Path, tmp_path: Path) -> None:
    server = StudioServer(tmp_path / "runs", weights, environment={"MVDIFF_API_KEY": "a long secret"}).start()
    try:
        with Client(server.url) as stranger, pytest.raises(ServerError, match="Bearer"):
            stranger.jobs()
        with Client(server.url, api_key="a wrong secret") as stranger, pytest.raises(ServerError, match="Bearer"):
            stranger.jobs()
        with Client(server.url, api_key="a long secret") as friend:
            assert friend.jobs() == []
        assert httpx.get(f"{server.url}health").status_code == 200
        with httpx.Client(base_url=server.url) as browser:
            assert browser.post("/api/login", json={"key": "guess"}).status_code == 401
            assert browser.get("/api/runs").status_code == 401
            assert browser.post("/api/login", json={"key": "a long secret"}).status_code == 204
            assert browser.get("/api/runs").json() == []
    finally:
        server.stop()


def test_the_network_is_served_with_a_key_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from mvdiff.serving.config import Address

    monkeypatch.delenv("MVDIFF_API_KEY", raising=False)
    with pytest.raises(InputError, match="MVDIFF_API_KEY"):
        Address(host="0.0.0.0").check()
    monkeypatch.setenv("MVDIFF_API_KEY", "secret")
    Address(host="0.0.0.0").check()


def test_a_taken_port_is_told(server: StudioServer) -> None:
    from mvdiff.serving.server import bind

    with pytest.raises(InputError, match="choose another --port"):
        bind("127.0.0.1", server.port)
