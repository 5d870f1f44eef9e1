"""Nodes of ComfyUI, called as its executor calls them: keyword arguments, in inference mode."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from mvdiff.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from mvdiff.integrations.comfyui.convert import photo_of
from mvdiff.integrations.comfyui.host import numbered
from mvdiff.integrations.comfyui.install import install
from mvdiff.integrations.comfyui.mesh_nodes import chosen
from recon.core.errors import InputError
from recon.io.meshes.files import load_mesh

WORKFLOWS = Path(importlib.import_module("mvdiff.integrations.comfyui").__file__).parent / "workflows"
WIDGETS = ("STRING", "INT", "FLOAT", "BOOLEAN")


def call(name: str, **inputs: Any) -> tuple:
    """Outputs of a node; every input that is left out has its default."""
    kind = NODE_CLASS_MAPPINGS[name]
    declared = kind.INPUT_TYPES()["required"]
    defaults = {
        key: entry[1].get("default") if entry[0] in WIDGETS else entry[0][0]
        for key, entry in declared.items()
        if entry[0] in WIDGETS or isinstance(entry[0], list)
    }
    with torch.inference_mode():
        found = getattr(kind(), kind.FUNCTION)(**defaults | inputs)
    return found["result"] if isinstance(found, dict) else found


def loaded(photo: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """IMAGE and MASK as the node Load Image gives them: the mask is 1 where the picture is transparent."""
    values = np.asarray(Image.open(photo)).astype(np.float32) / 255
    return torch.from_numpy(values[None, ..., :3]), 1 - torch.from_numpy(values[None, ..., 3])


@pytest.fixture(scope="session")
def sampled(weights: Path, photo: Path) -> tuple:
    (model,) = call("MvdiffLoadModel", weights=str(weights), device="cpu", preset="fast")
    image, mask = loaded(photo)
    small = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1}
    return call("MvdiffSample", model=model, image=image, mask=mask, mask_shows="background", **small)


@pytest.fixture(scope="session")
def hypotheses(sampled: tuple) -> tuple:
    return call("MvdiffReconstruct", views=sampled[0])


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("comfyui")


@pytest.fixture(scope="session")
def finished_run(hypotheses: tuple, folder: Path) -> tuple:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return call("MvdiffPosterior", hypotheses=hypotheses[0])


@pytest.fixture(autouse=True)
def _in_folder(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_a_node_declares_what_comfyui_reads(name: str) -> None:
    kind = NODE_CLASS_MAPPINGS[name]
    assert name in NODE_DISPLAY_NAME_MAPPINGS
    assert callable(getattr(kind, kind.FUNCTION))
    assert len(kind.RETURN_TYPES) == len(kind.RETURN_NAMES)
    assert len(getattr(kind, "OUTPUT_TOOLTIPS", kind.RETURN_TYPES)) == len(kind.RETURN_TYPES)
    for inputs in kind.INPUT_TYPES().values():
        for socket, *options in inputs.values():
            assert isinstance(socket, str) or (isinstance(socket, list) and socket)
            if socket in WIDGETS:
                assert "default" in options[0]
            if isinstance(socket, list) and options:
                assert options[0].get("default", socket[0]) in socket


def test_views_come_as_images_with_masks(sampled: tuple, photo: Path) -> None:
    views, images, masks, reference, alpha = sampled
    count = views.sampled.views.num_views * 2
    assert list(images.shape) == [count, 32, 32, 3]
    assert list(masks.shape) == [count, 32, 32]
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert torch.all(images[masks == 0] == 1)
    assert float(alpha.mean()) > 0.2
    assert torch.allclose(reference[0, 0, 0], torch.ones(3))
    assert not images.is_inference()


def test_meshes_are_batches_of_one_for_comfyuis_own_nodes(hypotheses: tuple) -> None:
    found, meshes, images = hypotheses
    assert len(meshes) == len(images) == 2
    for mesh, made in zip(meshes, found.objects, strict=True):
        assert mesh.vertices.shape[0] == 1
        assert torch.equal(mesh.vertices[0], made.mesh.vertices)
        assert torch.equal(mesh.faces[0], made.mesh.faces)


def test_the_posterior_leaves_a_run_that_the_command_line_reads(finished_run: tuple, run, folder: Path) -> None:
    made, images, uncertainty, summary, page, ambiguity = finished_run
    assert page == "mvdiff/run_00001/report.html"
    assert (folder / "output" / page).is_file()
    assert json.loads(summary)["num_hypotheses"] == len(images) == 2
    assert list(uncertainty.shape) == [1, 256, 1024, 3]
    assert ambiguity == json.loads(summary)["ambiguity"]["value"]
    code, text, error = run("next-view", made.folder, "--json")
    assert code == 0, error
    azimuth, elevation, picture = call("MvdiffNextView", run=made)
    assert [azimuth, elevation] == [json.loads(text)["views"][0][name] for name in ("azimuth", "elevation")]
    assert picture.ndim == 4


def test_the_posterior_is_that_of_a_run_in_one_go(finished_run: tuple, sampled: tuple, model, photo: Path) -> None:
    config = sampled[0].config
    settings = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1, "seed": config.seed}
    whole = model.generate(photo, **settings)
    assert torch.equal(finished_run[0].result.posterior.fields, whole.posterior.fields)


def test_hypotheses_are_kept_and_rejected(finished_run: tuple) -> None:
    judged = call("MvdiffFeedback", run=finished_run[0], keep="1", reject="0", resample=False)
    weights = judged[0].result.posterior.weights
    assert weights[1] > 0.9
    more = call("MvdiffFeedback", run=finished_run[0], keep="1", num_hypotheses=2, seed=5)
    assert torch.equal(more[0].result.views[0].rgb, finished_run[0].result.views[1].rgb)


def test_a_failed_judgement_leaves_no_folder(finished_run: tuple, folder: Path) -> None:
    before = sorted((folder / "output/mvdiff").iterdir())
    for keep, reject, sentence in [("7", "", "7"), ("", "", "Name the hypotheses"), ("a", "", "numbers")]:
        with pytest.raises(InputError, match=sentence):
            call("MvdiffFeedback", run=finished_run[0], keep=keep, reject=reject)
    assert sorted((folder / "output/mvdiff").iterdir()) == before


def test_a_picked_mesh_has_its_uncertainty_and_its_texture(finished_run: tuple) -> None:
    mesh, plain, textured, image = call("MvdiffPick", run=finished_run[0], which="hypothesis", index=1)
    assert torch.equal(mesh.vertices, finished_run[0].result.hypotheses[1].mesh.vertices)
    assert len(mesh.attributes["uncertainty"]) == len(mesh.vertices) == plain.vertices.shape[1]
    assert isinstance(textured, trimesh.Trimesh)
    assert textured.visual.kind == "texture"
    assert list(image.shape) == [1, 256, 1024, 3]
    with pytest.raises(InputError, match="0 to 1"):
        chosen(finished_run[0].result, "hypothesis", 2)


def test_an_exported_mesh_is_found_below_the_output_folder(finished_run: tuple, folder: Path) -> None:
    mesh = call("MvdiffPick", run=finished_run[0])[0]
    for number, form in enumerate(["glb", "obj", "stl"], 1):
        (path,) = call("MvdiffExport", textured_mesh=mesh, filename_prefix="a/b", format=form)
        assert path == f"a/b_00001.{form}"
        assert len(load_mesh(folder / "output" / path)) == len(mesh), number
    assert call("MvdiffExport", textured_mesh=mesh, filename_prefix="a/b") == ("a/b_00002.glb",)


@pytest.mark.parametrize("prefix", ["", "..", "../b", "a/../../b", "/etc/b", "a/"])
def test_nothing_is_written_out_of_the_output_folder(prefix: str) -> None:
    with pytest.raises(InputError, match="output folder"):
        numbered(prefix, ".glb")


def test_a_mask_cuts_the_object_out() -> None:
    image, mask = torch.rand(1, 8, 6, 3), torch.zeros(1, 8, 6)
    mask[:, 2:5] = 1
    picture = np.asarray(photo_of(image, mask))
    assert picture.shape == (8, 6, 4)
    assert np.array_equal(picture[..., 3] > 0, mask[0].numpy() > 0)
    assert np.array_equal(np.asarray(photo_of(image, 1 - mask, "background")), picture)
    empty = torch.zeros(1, 64, 64)  # what Load Image gives beside a photo without transparency
    assert photo_of(image, empty, "background").mode == "RGB"


def test_masks_and_photos_that_cannot_be_used_are_refused() -> None:
    image = torch.rand(1, 8, 6, 3)
    with pytest.raises(InputError, match="not that of the photo"):
        photo_of(image, torch.ones(1, 4, 4))
    with pytest.raises(InputError, match="nothing of the object"):
        photo_of(image, torch.zeros(1, 8, 6))
    with pytest.raises(InputError, match="2 images"):
        photo_of(image.expand(2, -1, -1, -1))


def test_the_workflow_of_the_editor_is_that_of_the_server() -> None:
    """The same nodes, links and values in both formats, and every value one that the node takes."""
    editor = json.loads((WORKFLOWS / "photo_to_mesh.json").read_text("utf-8"))
    server = json.loads((WORKFLOWS / "photo_to_mesh_api.json").read_text("utf-8"))
    assert {str(node["id"]): node["type"] for node in editor["nodes"]} == {
        key: node["class_type"] for key, node in server.items()
    }
    links = {
        (str(target), editor_input(editor, target, slot)): [str(source), output]
        for _, source, output, target, slot, _ in editor["links"]
    }
    values = {(key, name): value for key, node in server.items() for name, value in node["inputs"].items()}
    assert links == {place: value for place, value in values.items() if isinstance(value, list)}
    for (key, name), value in values.items():
        kind = NODE_CLASS_MAPPINGS.get(server[key]["class_type"])
        if kind is not None:
            declared = kind.INPUT_TYPES()
            entry = (declared["required"] | declared.get("optional", {}))[name]
            if isinstance(value, list):
                source = NODE_CLASS_MAPPINGS.get(server[value[0]]["class_type"])
                assert source is None or source.RETURN_TYPES[value[1]] == entry[0]
            elif isinstance(entry[0], list):
                assert value in entry[0]
    for kind in {node["class_type"] for node in server.values()} & set(NODE_CLASS_MAPPINGS):
        given = {name for node in server.values() if node["class_type"] == kind for name in node["inputs"]}
        assert set(NODE_CLASS_MAPPINGS[kind].INPUT_TYPES()["required"]) <= given


def editor_input(editor: dict, node: int, slot: int) -> str:
    return next(each for each in editor["nodes"] if each["id"] == node)["inputs"][slot]["name"]


def test_installation_makes_a_folder_of_custom_nodes(tmp_path: Path, run) -> None:
    (tmp_path / "custom_nodes").mkdir()
    code, text, _ = run("comfyui", "install", tmp_path)
    assert code == 0
    assert "restart ComfyUI" in text
    names: dict[str, Any] = {}
    exec((tmp_path / "custom_nodes/mvdiff/__init__.py").read_text("utf-8"), names)
    assert names["NODE_CLASS_MAPPINGS"] is NODE_CLASS_MAPPINGS
    assert Image.open(tmp_path / "input/mvdiff_demo.png").size
    assert install(tmp_path)  # an update
    (tmp_path / "custom_nodes/mvdiff/__init__.py").write_text("NODE_CLASS_MAPPINGS = {}")
    code, _, error = run("comfyui", "install", tmp_path)
    assert code == 2
    assert "other nodes" in error
    assert run("comfyui", "install", tmp_path / "nowhere")[0] == 2
