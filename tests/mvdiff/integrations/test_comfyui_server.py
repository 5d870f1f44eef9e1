"""The nodes in a real ComfyUI server, through its HTTP API."""

import copy
import json
import os
import sys
import time
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlencode

import pytest
from comfyui_server import Server, comfyui

from mvdiff.integrations.comfyui import NODE_CLASS_MAPPINGS
from mvdiff.integrations.comfyui.install import install
from recon.io.meshes.files import load_mesh

COMFYUI = os.environ.get("MVDIFF_COMFYUI")
PYTHON = os.environ.get("MVDIFF_COMFYUI_PYTHON", sys.executable)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not COMFYUI,
        reason="needs MVDIFF_COMFYUI, a folder of ComfyUI (and MVDIFF_COMFYUI_PYTHON, where its Python is another)",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comfyui")
    (folder / "custom_nodes").mkdir()
    install(folder)
    with comfyui(Path(COMFYUI), PYTHON, folder) as running:
        yield running


@pytest.fixture
def workflow(weights: Path) -> dict:
    """The example workflow on the tiny weights."""
    found = json.loads(files("mvdiff.integrations.comfyui").joinpath("workflows/photo_to_mesh_api.json").read_text())
    for node in found.values():
        if node["class_type"] == "MvdiffLoadModel":
            node["inputs"] |= {"weights": str(weights), "device": "cpu", "preset": "fast"}
        if node["class_type"] == "MvdiffSample":
            node["inputs"] |= {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1}
    return found


def node_of(workflow: dict, kind: str) -> str:
    return next(key for key, node in workflow.items() if node["class_type"] == kind)


def messages(record: dict, name: str) -> list[dict]:
    return [content for kind, content in record["status"]["messages"] if kind == name]


def test_the_example_workflow_runs(server: Server, workflow: dict) -> None:
    known = json.loads(server.get("/object_info"))
    assert set(NODE_CLASS_MAPPINGS) <= set(known)
    assert "photo_to_mesh" in json.loads(server.get("/workflow_templates"))["mvdiff"]
    record = server.wait(server.start(workflow))
    assert record["status"]["status_str"] == "success", record["status"]
    outputs, output = record["outputs"], server.folder / "output"
    path = outputs[node_of(workflow, "Preview3D")]["result"][0]
    assert path == "mvdiff/mesh_00001.glb"
    query = urlencode({"filename": "mesh_00001.glb", "subfolder": "mvdiff", "type": "output"})
    assert server.get(f"/view?{query}") == (output / path).read_bytes()
    own, theirs = load_mesh(output / path), load_mesh(output / "mvdiff/shape_00001_.glb")  # by the node Save GLB
    assert len(own) == len(theirs)
    assert own.texture is not None
    assert sorted(each.name for each in (output / "mvdiff").iterdir() if each.is_dir()) == ["judged_00001", "run_00001"]
    assert (output / "mvdiff/run_00001/report.html").is_file()


def test_input_that_cannot_be_used_is_one_sentence(server: Server, workflow: dict) -> None:
    workflow[node_of(workflow, "MvdiffFeedback")]["inputs"]["keep"] = "9"
    record = server.wait(server.start(workflow))
    (error,) = messages(record, "execution_error")
    assert error["exception_type"].endswith("InputError")
    assert "9" in error["exception_message"]


def test_the_stop_button_stops_sampling_and_leaves_nothing(server: Server, workflow: dict) -> None:
    long = copy.deepcopy(workflow)
    long[node_of(workflow, "MvdiffSample")]["inputs"] |= {"num_hypotheses": 64, "num_inference_steps": 200}
    before = sorted((server.folder / "output").rglob("*"))
    prompt = server.start(long)
    time.sleep(5)
    server.post("/interrupt", {})
    record = server.wait(prompt, 60)
    assert messages(record, "execution_interrupted")
    assert sorted((server.folder / "output").rglob("*")) == before
