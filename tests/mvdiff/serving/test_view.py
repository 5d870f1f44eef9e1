"""``mvdiff view``: a finished run as a web site, at once and without a model."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from mvdiff.serving.view import view_app
from recon.core.errors import InputError
from recon.io.folders import OutputFolder


def test_the_report_and_the_files_are_served(finished) -> None:
    client = TestClient(view_app(finished[0]))
    assert "<title>mug.png" in client.get("/").text
    assert client.get("/hypotheses/000.glb").content[:4] == b"glTF"
    assert client.get("/manifest.json").json()["complete"]
    for name in ("nothing", ".lock", "%2e%2e/secret", "hypotheses"):
        assert client.get(f"/{name}").status_code == 404


def test_a_run_without_a_page_lists_its_files(tmp_path: Path) -> None:
    folder = OutputFolder.create(tmp_path / "views", {"verb": "views"})
    with folder.write("a<b>.txt") as temporary:
        temporary.write_text("hello")
    folder.finish()
    client = TestClient(view_app(tmp_path / "views"))
    page = client.get("/").text
    assert "a&lt;b&gt;.txt" in page
    assert client.get("/a%3Cb%3E.txt").text == "hello"


def test_what_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run"):
        view_app(tmp_path)
    OutputFolder.create(tmp_path / "begun", {})
    with pytest.raises(InputError, match="not complete"):
        view_app(tmp_path / "begun")


def test_no_heavy_package_is_imported() -> None:
    code = "import json, sys, mvdiff.serving.view; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "fastapi", "pydantic", "PIL"} & set(json.loads(done.stdout))


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(finished) -> None:
    start = time.monotonic()
    command = [sys.executable, "-m", "mvdiff", "view", str(finished[0]), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[2]
        assert httpx.get(url, trust_env=False).status_code == 200
        print(f"first answer after {time.monotonic() - start:.2f} s")
        process.terminate()
