"""Native-3D sources: one stream of random numbers a hypothesis, distances in a stated frame, meshes, errors."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from tiny_shapes import trellis_folder, triposg_folder

from mvdiff.backbones.shape_meshes import shape_meshes
from mvdiff.backbones.shape_registry import load_shape_sampler
from mvdiff.backbones.trellis_coarse import TrellisCoarse, distance_of_occupancy
from mvdiff.backbones.triposg import EXTENT, TripoSG
from mvdiff.sampling.reference import prepare
from mvdiff.sampling.reframe import on_background
from mvdiff.sampling.shape_sampler import SampledShapes, ShapeRequest, ShapeSampler
from recon import ReconstructionConfig
from recon.core.errors import InputError
from recon.core.grid import VoxelGrid

KINDS = ("trellis-coarse", "triposg")
FAST = ReconstructionConfig.preset("fast")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("shapes")
    return {"trellis-coarse": trellis_folder(root / "trellis"), "triposg": triposg_folder(root / "triposg")}


@pytest.fixture(scope="module")
def samplers(folders: dict[str, Path]) -> dict[str, ShapeSampler]:
    made = {name: load_shape_sampler(name, weights=folder, device="cpu") for name, folder in folders.items()}
    return made | {"triposg": replace(made["triposg"], resolution=24, vectors=9)}


def request(sampler: ShapeSampler, photo: Path, seeds: list[int], **changes) -> ShapeRequest:
    return ShapeRequest(sampler.prepare(photo), seeds, replace(sampler.info.defaults, steps=2, **changes))


@pytest.mark.parametrize("kind", KINDS)
def test_they_keep_the_protocol_and_say_where_they_come_from(samplers: dict[str, ShapeSampler], kind: str) -> None:
    sampler = samplers[kind]
    assert isinstance(sampler, ShapeSampler)
    assert sampler.info.license == "MIT"
    assert sampler.info.weights["backbone"] == kind
    assert len(sampler.info.weights["sha256"]) == 64


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_depends_on_its_own_seed_only(samplers: dict[str, ShapeSampler], photo: Path, kind: str) -> None:
    sampler = replace(samplers[kind], chunk_size=3)
    three = sampler.sample(request(sampler, photo, [5, 6, 7]))
    alone = sampler.sample(request(sampler, photo, [7]))
    torch.testing.assert_close(three.sdf[2], alone.sdf[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(three.sdf[0], three.sdf[1], atol=1e-3)
    assert (three.extent, three.world) == ((0.5, "z-up") if kind == "trellis-coarse" else (EXTENT, "y-up"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_photo_and_the_guidance_matter(samplers: dict[str, ShapeSampler], photo: Path, kind: str) -> None:
    sampler = samplers[kind]
    asked = request(sampler, photo, [5])
    free = sampler.sample(replace(asked, settings=replace(asked.settings, guidance=1.0)))
    assert not torch.equal(sampler.sample(asked).sdf, free.sdf)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_reported_over_all_chunks(samplers: dict[str, ShapeSampler], photo: Path, kind: str) -> None:
    sampler, steps = replace(samplers[kind], chunk_size=1), []
    sampler.sample(request(sampler, photo, [1, 2]), steps.append)
    assert steps == [1, 2, 3, 4]


def test_distances_of_occupancy_are_those_of_a_ball() -> None:
    grid = VoxelGrid(torch.zeros(3), 0.5, 64)
    truth = grid.points().norm(dim=-1) - 0.3
    found = distance_of_occupancy(torch.where(truth < 0, 8.0, -8.0), 0.5)
    error = (found - truth).abs()[truth.abs() < 0.1] / grid.spacing
    assert float(error.mean()) < 0.25
    assert float(error.max()) < 0.75


def test_distances_of_triposg_have_the_sign_of_its_decoder(samplers: dict[str, ShapeSampler]) -> None:
    sampler = samplers["triposg"]
    assert isinstance(sampler, TripoSG)
    latents = torch.randn(1, 9, 6, generator=torch.Generator().manual_seed(2))
    grid = VoxelGrid(torch.zeros(3), EXTENT, sampler.resolution)
    with torch.no_grad():
        logits = sampler.decoder.ask(sampler.decoder.encode(latents), grid.points().reshape(1, -1, 3))
        distance = sampler._distance(latents)
    assert torch.equal(distance.flatten() < 0, logits[0] < 0)


def test_meshes_are_watertight_and_in_the_generators_frame() -> None:
    grid = VoxelGrid(torch.zeros(3), 0.5, 48)
    centers = torch.tensor([[0.1, 0.0, 0.2], [-0.1, 0.15, 0.0]])
    sdf = torch.stack([(grid.points() - c).norm(dim=-1) - 0.2 for c in centers])
    meshes = list(shape_meshes(SampledShapes(sdf, 0.5, "z-up"), FAST))
    assert all(trimesh.Trimesh(m.vertices, m.faces).is_watertight for m in meshes)
    middle = torch.stack([(m.bounds[0] + m.bounds[1]) / 2 for m in meshes])
    torch.testing.assert_close(middle, centers, atol=5e-3, rtol=0)


def test_the_photo_is_framed_as_the_encoder_expects_it(photo: Path) -> None:
    """The larger side of the object fills 1 / margin of the square; the ground has its gray."""
    reference = prepare(photo, size=240)
    for margin, background in ((1.2, 0.0), (1.05, 1.0)):
        picture = on_background(reference, margin, 120, background)
        rows = ((picture - background).abs().amax(0) > 0.2).any(1).nonzero()
        assert float(rows.max() - rows.min() + 1) == pytest.approx(120 / margin, abs=3)
        assert float(picture[:, 0, 0].mean()) == pytest.approx(background, abs=1e-3)


def test_tokens_of_trellis_are_those_before_the_last_norm(samplers: dict[str, ShapeSampler], photo: Path) -> None:
    sampler = samplers["trellis-coarse"]
    assert isinstance(sampler, TrellisCoarse)
    network, reference = sampler.encoder.network, sampler.prepare(photo)
    plain = sampler.encoder.tokens(reference)
    normed = replace(sampler.encoder, own_norm=True).tokens(reference)
    assert plain.shape == (1, 1 + 2 + 37**2, 24)  # class token, registers, patches
    weight, bias = network.layernorm.weight, network.layernorm.bias
    alike = torch.nn.functional.cosine_similarity(plain * weight + bias, normed, dim=-1)
    assert float(alike.min()) > 0.999  # the norms differ in their epsilon, which small tokens feel
    torch.testing.assert_close(plain.mean(-1), torch.zeros(1, plain.shape[1]), atol=1e-5, rtol=0)


def test_missing_parts_and_foreign_weights_are_one_sentence(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not on this machine: run `mvdiff models pull triposg`"):
        TripoSG.from_pretrained(device="cpu")
    with pytest.raises(InputError, match="is missing: `mvdiff models list`"):
        TrellisCoarse.from_pretrained(folders["triposg"], "cpu")
    with pytest.raises(InputError, match="is missing: `mvdiff models list`"):
        TripoSG.from_pretrained(folders["trellis-coarse"], "cpu")
    with pytest.raises(InputError, match="no source of shapes 'meshy'"):
        load_shape_sampler("meshy", weights=tmp_path)
    copy = trellis_folder(tmp_path / "copy")
    shutil.move(copy / "image_encoder", tmp_path / "registers")
    shutil.copytree(folders["triposg"] / "image_encoder_dinov2", copy / "image_encoder")
    with pytest.raises(InputError, match=r"not those of Dinov2WithRegistersModel: .*register_tokens"):
        TrellisCoarse.from_pretrained(copy, "cpu")
    config = json.loads((copy / "ckpts/ss_flow_img_dit_L_16l8_fp16.json").read_text("utf-8"))
    config["args"]["pe_mode"] = "rope"
    (copy / "ckpts/ss_flow_img_dit_L_16l8_fp16.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(InputError, match="is no readable config of trellis-coarse"):
        TrellisCoarse.from_pretrained(copy, "cpu")
    config["args"] |= {"pe_mode": "ape", "num_blocks": 3}
    (copy / "ckpts/ss_flow_img_dit_L_16l8_fp16.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(InputError, match=r"missing: blocks\.2\."):
        TrellisCoarse.from_pretrained(copy, "cpu")
