"""The HTTP API on a real server with a tiny model: photo, job, events, results."""

import json
import time
import zipfile
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from studio_server import StudioServer

from mvdiff.client import Client, ServerError
from recon.io.meshes.files import load_mesh

QUICK = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1, "preset": "fast"}

pytestmark = pytest.mark.slow


def test_a_photo_becomes_a_run_with_progress_and_previews(client: Client, photo: Path, tmp_path: Path) -> None:
    states = []
    job = client.generate(photo, **QUICK)
    last = job.wait(states.append)
    stages = list(dict.fromkeys(state.stage for state in states if state.stage))
    assert stages[0] == "sample"
    assert stages[-1] == "write"
    assert last.previews == [2]
    assert set(last.seconds) >= {"sample", "reconstruct"}
    preview = Image.open(BytesIO(client.fetch(f"/api/jobs/{job.id}/previews/0")))
    assert preview.height == 64  # a row of 32 pixels for each hypothesis
    paths = job.save(tmp_path / "out")
    assert tmp_path / "out/report.html" in paths
    assert json.loads((tmp_path / "out/manifest.json").read_text("utf-8"))["complete"]
    assert len(load_mesh(tmp_path / "out/hypotheses/001.glb")) > 0


def test_the_run_is_that_of_the_command_line(server, made: str, run, photo: Path, tmp_path: Path) -> None:
    flags = ("--num-hypotheses", 2, "--num-inference-steps", 2, "--candidates", 1)
    code, _, error = run("generate", photo, "--output-dir", tmp_path / "out", *flags)
    assert code == 0, error
    for name in ("hypotheses/000.glb", "views/001/views.safetensors", "posterior.npz"):
        assert (tmp_path / "out" / name).read_bytes() == (server.output_dir / made / name).read_bytes(), name


def test_kept_hypotheses_come_first_in_the_next_run(client: Client, made: str, server: StudioServer) -> None:
    state = client.feedback(made, keep=[1], reject=[0], num_hypotheses=2, preset="fast").wait()
    details = client.get(f"/api/runs/{state.run}", dict)
    assert details["parent"] == made
    assert details["verb"] == "feedback"
    kept = (server.output_dir / made / "views/001/views.safetensors").read_bytes()
    assert (server.output_dir / state.run / "views/000/views.safetensors").read_bytes() == kept


def test_a_second_photo_makes_a_run_of_its_own(client: Client, made: str, photo: Path) -> None:
    state = client.refine(made, photo, azimuth=90, num_hypotheses=2, preset="fast").wait()
    assert "evidence.png" in client.get(f"/api/runs/{state.run}", dict)["files"]


@pytest.mark.parametrize(("form", "hypothesis"), [("glb", None), ("stl", 1), ("obj", 0)])
def test_exports(client: Client, made: str, form: str, hypothesis: int | None, tmp_path: Path) -> None:
    job = client.export(made, form, hypothesis, size_mm=50)
    state = job.wait()
    (path,) = job.save(tmp_path)
    if form == "obj":
        assert len(zipfile.ZipFile(path).namelist()) == 3
    else:
        assert len(load_mesh(path)) > 0
    assert bool(state.notes) == (form == "stl")
    assert not state.notes or state.notes[0].startswith(("50.0", "49", "48")) or "50.0" in state.notes[0]


def test_a_corrected_matte_is_what_is_sampled(client: Client, photo: Path, server: StudioServer) -> None:
    added = client.post("/api/photos", dict, files={"photo": ("mug.png", photo.read_bytes())})
    assert added["matte"]["method"] == "alpha"
    mask = np.zeros((64, 64), np.uint8)
    mask[16:56, 20:32] = 255
    body = BytesIO()
    Image.fromarray(mask).save(body, "PNG")
    url = f"{server.url}api/photos/{added['id']}/matte"
    corrected = httpx.put(url, content=body.getvalue(), headers={"content-type": "image/png"})
    assert corrected.json()["corrected"]
    job = client.post("/api/jobs", dict, json={"kind": "generate", "photo": added["id"], **QUICK})
    assert httpx.get(url).content[:4] == b"\x89PNG"
    states = list(client.stream(f"/api/jobs/{job['id']}/events"))
    assert states[-1].state == "done"
    reference = np.asarray(Image.open(server.output_dir / states[-1].run / "reference.png"))
    rows, columns = np.nonzero(reference[..., 3] > 128)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(40 / 12, rel=0.2)


def test_a_job_that_works_is_cancelled_and_leaves_nothing(client: Client, photo: Path, server: StudioServer) -> None:
    job = client.generate(photo, **QUICK | {"num_hypotheses": 32, "num_inference_steps": 100})
    for state in job.events():
        if state.done > 2:
            break
    start = time.monotonic()
    assert job.cancel().state == "cancelled"
    after = client.generate(photo, **QUICK | {"num_hypotheses": 1})
    assert after.wait().state == "done"
    assert time.monotonic() - start < 60
    assert not (server.output_dir / state.run).exists()
    with pytest.raises(ServerError, match="cancelled"):
        job.wait()


def test_a_waiting_job_is_cancelled_before_it_begins(client: Client, photo: Path) -> None:
    first, second = (client.generate(photo, **QUICK | {"seed": seed}) for seed in (1, 2))
    second.cancel()
    assert first.wait().state == "done"
    assert second.state.state == "cancelled"
    assert second.state.done == 0


def test_lists_hold_the_own_session_and_the_command_lines_runs(
    client: Client, server: StudioServer, made: str, run, photo: Path
) -> None:
    code, _, error = run("generate", photo, "--output-dir", server.output_dir / "by hand", "--num-hypotheses", 1)
    assert code == 0, error
    job = client.generate(photo, **QUICK)
    own = job.wait().run
    with Client(server.url) as other:
        assert job.id in [each.id for each in client.jobs()]
        assert other.jobs() == []
        assert {each["name"] for each in other.get("/api/runs", list[dict])} == {"by hand"}
    assert {each["name"] for each in client.get("/api/runs", list[dict])} == {"by hand", own}
    assert client.fetch("/runs/by hand/report.html").startswith(b"<!doctype html>")


def test_health_and_metrics(client: Client, server: StudioServer, made: str) -> None:
    assert httpx.get(f"{server.url}health").json()["status"] == "ok"
    text = client.fetch("/metrics").decode()
    figures = {sample.name: sample.value for each in text_string_to_metric_families(text) for sample in each.samples}
    assert figures["mvdiff_jobs_queued"] == 0
    assert figures["mvdiff_jobs_ended_total"] >= 1
    assert figures["mvdiff_stage_seconds_count"] >= 1
    assert figures["mvdiff_worker_memory_bytes"] > 1e8
    assert "mvdiff_gpu_memory_bytes" in figures


def test_the_description_of_the_api_loads_nothing_from_elsewhere(client: Client) -> None:
    page = client.fetch("/docs").decode()
    assert "https://" not in page
    assert "http://" not in page
    assert len(client.fetch("/docs-assets/swagger-ui-bundle.js")) > 1e5
    schema = client.get("/openapi.json", dict)
    assert {"/api/generate", "/api/jobs", "/api/jobs/{job_id}/events", "/health", "/metrics"} <= set(schema["paths"])
