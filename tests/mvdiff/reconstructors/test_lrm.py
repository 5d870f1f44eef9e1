"""The large reconstruction model as a reconstructor: frame, sign, batches, command line, errors."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from ball_lrm import CENTER, COLOR, RADIUS, save_ball
from safetensors.torch import load_file, save_file

from mvdiff import ImageTo3D
from mvdiff.reconstructors.lrm import LRMReconstructor
from mvdiff.reconstructors.pictures import spread_views, square_on_white
from mvdiff.reconstructors.registry import load_reconstructor
from recon import ReconstructionConfig, reconstruct
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.fusion.reconstructor import Reconstructor
from recon.rendering import render_mesh

GRID = VoxelGrid(torch.zeros(3), 0.55, 64)


def ball_views(azimuths: list[float]) -> ViewSet:
    made = trimesh.creation.icosphere(3, RADIUS)
    vertices = torch.tensor(made.vertices).float() + torch.tensor(CENTER)
    mesh = TexturedMesh(vertices, torch.tensor(made.faces), torch.tensor([0.2, 0.3, 0.9]).expand(len(vertices), 3))
    views = render_mesh(mesh, Cameras.orbit(azimuths, 10.0, size=64))
    return replace(views, depth=None, normal=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_ball(tmp_path_factory.mktemp("lrm"))


@pytest.fixture(scope="module")
def lrm(folder: Path) -> LRMReconstructor:
    return LRMReconstructor.from_pretrained(folder)


def test_it_keeps_the_protocol_and_says_where_it_comes_from(lrm: LRMReconstructor) -> None:
    assert isinstance(lrm, Reconstructor)
    assert lrm.info.license == "Apache-2.0"
    assert len(lrm.info.weights["sha256"]) == 64


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_ball_is_where_the_network_has_it(tmp_path: Path, sign: float) -> None:
    """Axes, scale and units, with either sign inside: the corners tell which it is."""
    lrm = LRMReconstructor.from_pretrained(save_ball(tmp_path, sign))
    fields = lrm.fields(ball_views([0.0, 120.0]), GRID)
    truth = (GRID.points() - torch.tensor(CENTER)).norm(dim=-1) - RADIUS
    near = truth.abs() < 1.5 * GRID.spacing
    sure = truth.abs() > 0.6 * GRID.spacing
    assert torch.equal(fields.values[0][sure] < 0, truth[sure] < 0)
    # The toy's planes are a staircase, so that its slopes are only about right.
    assert float((fields.values[0] - truth)[near].abs().mean()) < 0.25 * GRID.spacing
    colors = fields.colors[0][:, truth.abs() < GRID.spacing]
    torch.testing.assert_close(colors, torch.tensor(COLOR)[:, None].expand_as(colors), atol=2e-3, rtol=0)


def test_meshes_are_watertight_and_fit_the_views(lrm: LRMReconstructor) -> None:
    views = ball_views([0.0, 60.0, 120.0])
    made = reconstruct(views, ReconstructionConfig.preset("fast"), reconstructor=lrm)[0]
    assert made.mesh.texture is not None
    assert trimesh.Trimesh(made.mesh.vertices, made.mesh.faces).is_watertight
    radii = (made.mesh.vertices - torch.tensor(CENTER)).norm(dim=-1)
    assert float((radii - RADIUS).abs().max()) < 0.01
    assert made.residual < 0.01


def test_a_hypothesis_does_not_depend_on_the_others(lrm: LRMReconstructor) -> None:
    three = ViewSet.cat([ball_views([0.0, 90.0]), ball_views([10.0, 200.0]), ball_views([40.0, 300.0])])
    assert torch.equal(lrm.planes(three[2]), lrm.planes(three[2:]))
    assert torch.equal(lrm.fields(three, GRID).values[2], lrm.fields(three[2], GRID).values[0])


def test_of_many_views_those_far_apart_are_shown() -> None:
    ring = Cameras.orbit([float(a) for a in range(0, 360, 10)], 0.0)
    assert spread_views(ring, 4) == [0, 9, 18, 27]
    assert spread_views(ring[:3], 6) == [0, 1, 2]


def test_wide_pictures_become_squares_whose_cameras_fit() -> None:
    cameras = Cameras.orbit([0.0, 30.0], 0.0, size=(64, 48))
    views = ViewSet(torch.rand(1, 2, 3, 48, 64), torch.ones(1, 2, 1, 48, 64), cameras[None])
    pictures, square = square_on_white(views, 128)
    assert pictures.shape == (1, 2, 3, 128, 128)
    torch.testing.assert_close(pictures[..., :10, :], torch.ones_like(pictures[..., :10, :]))
    point = torch.tensor([[0.1, 0.2, 0.05]])
    before, after = cameras[0].project(point)[0], square[0, 0].project(point)[0]
    torch.testing.assert_close(after, (before + torch.tensor([0.0, 8.0])) * 2)


def test_the_model_goes_the_whole_way_and_is_uncalibrated(folder: Path, weights: Path, photo: Path) -> None:
    model = ImageTo3D.from_pretrained(
        weights,
        "cpu",
        reconstruction=ReconstructionConfig.preset("fast"),
        reconstructor="lrm",
        reconstructor_weights=folder,
    )
    result = model.generate(photo, num_hypotheses=2, num_inference_steps=2)
    assert model.weights["reconstructor"]["kind"] == "lrm"
    middle = torch.stack([h.mesh.vertices.mean(0) for h in result.hypotheses])
    torch.testing.assert_close(middle, torch.tensor(CENTER).expand(2, 3), atol=0.02, rtol=0)
    shipped = ImageTo3D.from_pretrained(weights, "cpu")
    assert shipped.reconstructor is None
    assert "reconstructor" not in shipped.weights


def test_the_command_reconstructs_views_and_records_the_network(run, folder: Path, tmp_path: Path) -> None:
    ball_views([0.0, 120.0, 240.0]).save(tmp_path / "views")
    arguments = ["reconstruct", tmp_path / "views", "--output-dir", tmp_path / "out", "--preset", "fast", "--json"]
    code, text, error = run(*arguments, "--reconstructor", "lrm", "--reconstructor-weights", folder)
    assert code == 0, error
    assert json.loads(text)["inputs"]["reconstructor"]["kind"] == "lrm"
    assert trimesh.load(tmp_path / "out" / "mesh.glb", force="mesh").bounds[1][2] == pytest.approx(0.4, abs=0.01)


def test_missing_and_foreign_weights_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TencentARC/InstantMesh"):
        load_reconstructor("lrm")
    with pytest.raises(InputError, match=r"holds no \.safetensors file"):
        load_reconstructor("lrm", tmp_path)
    with pytest.raises(InputError, match="Fusion has no weights"):
        load_reconstructor("fusion", folder)
    with pytest.raises(InputError, match="no reconstructor 'nerf'"):
        load_reconstructor("nerf", folder)
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="holds no weights of the LRM"):
        load_reconstructor("lrm", tmp_path)
    tensors = load_file(folder / "instant_mesh.safetensors")
    tensors["lrm_generator.transformer.extra"] = tensors.pop("lrm_generator.transformer.norm.bias")
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"1 missing: transformer\.norm\.bias; 1 unknown: transformer\.extra"):
        load_reconstructor("lrm", tmp_path)


def test_views_in_which_it_sees_nothing_are_refused(tmp_path: Path) -> None:
    tensors = load_file(save_ball(tmp_path) / "instant_mesh.safetensors")
    tensors["lrm_generator.synthesizer.decoder.net_sdf.6.bias"] += 10
    save_file(tensors, tmp_path / "instant_mesh.safetensors")
    with pytest.raises(InputError, match="finds no object in the views of hypothesis 0"):
        LRMReconstructor.from_pretrained(tmp_path).fields(ball_views([0.0, 120.0]), GRID)
