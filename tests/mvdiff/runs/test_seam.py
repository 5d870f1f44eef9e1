"""The seam: any sampler and any store go through the same run, and requests do not disturb each other."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mvdiff import GenerationConfig, ImageTo3D
from mvdiff.data.procedural import make
from mvdiff.runs.folder import FolderStore
from mvdiff.runs.store import MemoryStore, RunStore
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.rig import RigConfig
from mvdiff.sampling.sampler import OnStep, Sampled, SamplerInfo, SamplingRequest, ViewSampler
from recon import ReconstructionConfig, ViewSet
from recon.core.errors import InputError
from recon.rendering import render_mesh

SETTINGS = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1}
RIG = RigConfig(azimuths=(60.0, 180.0, 300.0), elevations=(20.0, -10.0, 40.0), size=48)


@dataclass(frozen=True)
class ProceduralSampler:
    """A sampler that "samples" by building the procedural object of each seed: no network, exact views."""

    @property
    def info(self) -> SamplerInfo:
        return SamplerInfo("procedural", "Apache-2.0", channels=frozenset({"rgb", "alpha", "normal", "depth"}))

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def prepare(self, photo: Any, matting: bool = True, framing: str = "recentre") -> ReferenceImage:
        return prepare(photo, size=48, matting=matting, framing=framing)

    def sample(self, request: SamplingRequest, on_step: OnStep | None = None) -> Sampled:
        elevation = torch.full((len(request.seeds),), 10.0)
        rigs = RIG.cameras(elevation)
        views = [render_mesh(make(seed).mesh.normalized(), rigs[k]) for k, seed in enumerate(request.seeds)]
        return Sampled(ViewSet.cat(views), self.draw_photo_cameras(request.reference, request.seeds, 10.0))

    def draw_photo_cameras(
        self, reference: ReferenceImage, seeds: Sequence[int], elevation: float | None = None, azimuth: float = 0.0
    ) -> PhotoCamera:
        parameters = torch.tensor([0.0 if elevation is None else elevation, 0.0, 0.0, 0.0]).deg2rad()
        return PhotoCamera.from_parameters(parameters.expand(len(seeds), 4), azimuth=azimuth)


def same(one: Any, other: Any) -> bool:
    meshes = zip(one.hypotheses, other.hypotheses, strict=True)
    return torch.equal(one.views.rgb, other.views.rgb) and all(
        torch.equal(a.mesh.vertices, b.mesh.vertices) for a, b in meshes
    )


def test_the_embedded_sampler_and_both_stores_keep_the_protocols(model: ImageTo3D, tmp_path: Path) -> None:
    assert isinstance(model.sampler, ViewSampler)
    assert isinstance(MemoryStore(), RunStore)
    assert isinstance(FolderStore.create(tmp_path, {}), RunStore)
    assert model.sampler.info.weights["sha256"]


def test_another_sampler_goes_the_whole_way(photo: Path, tmp_path: Path) -> None:
    """Without a network, a calibration or errors of its own: no novelty is stated, everything else is there."""
    model = ImageTo3D(ProceduralSampler(), ReconstructionConfig.preset("fast"))
    result = model.generate(photo, tmp_path / "run", **SETTINGS)
    assert result.novelty is None
    assert len(result.hypotheses) == 2
    assert not torch.equal(result.views.rgb[0], result.views.rgb[1])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    assert summary["out_of_distribution"] is None
    assert (tmp_path / "run" / "report.html").is_file()


def test_two_requests_at_once_are_as_one_after_the_other(model: ImageTo3D, photo: Path) -> None:
    """With different solvers, steps and seeds, so that anything shared would show."""
    reference = model.prepare(photo)
    requests = [
        GenerationConfig(num_hypotheses=3, num_inference_steps=4, seed=1, scheduler="unipc"),
        GenerationConfig(num_hypotheses=3, num_inference_steps=7, seed=2, scheduler="euler", shift=2.0),
    ]
    alone = [model.sample(reference, request) for request in requests]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda request: model.sample(reference, request), requests))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.views.rgb, other.views.rgb)
        assert torch.equal(one.photo_cameras.elevation, other.photo_cameras.elevation)


def test_memory_and_folder_hold_the_same_run(model: ImageTo3D, photo: Path, tmp_path: Path) -> None:
    reference, config = model.prepare(photo), GenerationConfig(**SETTINGS)
    memory = MemoryStore()
    kept = model.run(reference, config, memory)
    folder = FolderStore.create(tmp_path / "run", model.inputs(reference, config))
    folder.save_photo(reference, reference)
    written = model.run(reference, config, folder)
    assert memory.complete
    assert folder.complete
    assert same(kept, written)
    assert memory.load_result() is kept
    assert set(memory.seconds) == set(folder.manifest["seconds"]) == {"sample", "reconstruct", "posterior", "write"}


def test_a_run_goes_on_from_any_stage_in_memory(model: ImageTo3D, photo: Path) -> None:
    model = replace(model, chunk_size=1)  # batches of another shape round otherwise
    reference, config = model.prepare(photo), GenerationConfig(**SETTINGS)
    whole = MemoryStore()
    first = model.run(reference, config, whole)
    half = MemoryStore()
    half.save_samples({0: whole.load_sample(0)})
    assert same(first, model.run(reference, config, half))
    assert half.load_sample(0) is whole.load_sample(0)


def test_a_run_behind_a_url_is_the_local_one_and_resumes(model: ImageTo3D, photo: Path, tmp_path: Path) -> None:
    import fsspec

    remote = fsspec.filesystem("memory")
    url = f"memory://runs/{tmp_path.name}"
    stopped = {"reconstruct": 0}

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "reconstruct":
            stopped["reconstruct"] += 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.generate(photo, url, progress=stop, **SETTINGS)
    root = f"/runs/{tmp_path.name}"
    assert not json.loads(remote.cat(f"{root}/manifest.json"))["complete"]
    assert remote.isfile(f"{root}/views/001/views.safetensors")
    stages = []
    model.generate(photo, url, progress=lambda stage, done, total: stages.append((stage, done)), **SETTINGS)
    assert [done for stage, done in stages if stage == "sample"] == [4]  # loaded, not drawn again
    model.generate(photo, tmp_path / "local", **SETTINGS)
    manifest = json.loads(remote.cat(f"{root}/manifest.json"))
    assert manifest["complete"]
    assert manifest["files"] == json.loads((tmp_path / "local" / "manifest.json").read_text("utf-8"))["files"]
    names = {path[len(root) + 1 :] for path in remote.find(root)}
    assert names == {*manifest["files"], "manifest.json"}  # what only an interrupted run needs is gone
    local = tmp_path / "local" / "hypotheses" / "000.glb"
    assert remote.cat(f"{root}/hypotheses/000.glb") == local.read_bytes()
    assert len(FolderStore.open(url).load_result().hypotheses) == 2


@pytest.mark.parametrize("url", ["nowhere://bucket/run", "s3://bucket/run"])
def test_a_place_that_cannot_be_reached_is_one_sentence(url: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        FolderStore.create(url, {})


def test_a_remote_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    import fsspec

    class Evil(fsspec.AbstractFileSystem):
        protocol = "evil"

        def find(self, path: str, **_: Any) -> list[str]:
            return [f"{path}/../../victim"]

    fsspec.register_implementation("evil", Evil, clobber=True)
    with pytest.raises(InputError, match="outside"):
        FolderStore.create("evil://run", {})
