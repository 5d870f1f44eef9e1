"""Stores of rendered views: whole or refused, resumed but never stale."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mvdiff.data import dataset, store
from mvdiff.data.dataset import RenderDataset, render_dataset
from mvdiff.data.meshes import MeshSource, procedural_sources
from mvdiff.data.photographers import Photographers, Shot, fill_store
from mvdiff.data.procedural import make
from mvdiff.data.record import RecordConfig
from mvdiff.data.store import ViewStore
from mvdiff.data.workers import Workers
from recon.errors import InputError
from recon.io.mesh_files import save_mesh

TINY = RecordConfig(size=16, supersample=1, ring_views=6, references=2)
ROOT = Path(__file__).parents[2]


def noise(count: int, seed: int = 0, config: RecordConfig = TINY) -> ViewStore:
    filled = ViewStore.empty(count, config)
    generator = torch.Generator().manual_seed(seed)
    for array in (filled.targets, filled.references):
        array.copy_(torch.randint(256, array.shape, generator=generator))
    for array in (filled.target_angles, filled.reference_parameters):
        array.copy_(torch.randn(array.shape, generator=generator))
    filled.names = [f"set/{k}" for k in range(count)]
    return filled


def same(one: ViewStore, other: ViewStore) -> bool:
    return one.digest() == other.digest()


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    for module in (store, dataset):
        monkeypatch.setattr(module, "SHARD_OBJECTS", 2)


def test_round_trip(tmp_path: Path):
    for count in (1, 2, 5):
        noise(count).save(tmp_path)
        read = ViewStore.load(tmp_path)
        assert same(read, noise(count))
        assert read.config == TINY
        assert len(list(tmp_path.glob("shard-*"))) == -(-count // 2)  # none is left of a larger store


def test_other_pictures_under_the_same_names_replace_the_old_ones(tmp_path: Path):
    noise(5, seed=0).save(tmp_path)
    noise(5, seed=1).save(tmp_path)
    assert same(ViewStore.load(tmp_path), noise(5, seed=1))


def test_equal_shards_are_kept(tmp_path: Path):
    noise(4).save(tmp_path)
    first, second = sorted(tmp_path.glob("shard-*"))
    before = first.stat().st_mtime_ns
    second.unlink()
    noise(4).save(tmp_path)
    assert first.stat().st_mtime_ns == before
    assert same(ViewStore.load(tmp_path), noise(4))


def test_half_replaced_and_damaged_stores_are_refused(tmp_path: Path):
    noise(4, seed=0).save(tmp_path / "a")
    noise(4, seed=1).save(tmp_path / "b")
    (tmp_path / "b" / "shard-00001.safetensors").replace(tmp_path / "a" / "shard-00001.safetensors")
    with pytest.raises(InputError, match="other pictures"):
        ViewStore.load(tmp_path / "a")
    with pytest.raises(InputError, match="render_dataset"):
        ViewStore.load(tmp_path / "b")
    with pytest.raises(InputError, match="render_dataset"):
        ViewStore.load(tmp_path / "none")
    noise(4).save(tmp_path / "c")
    shard = tmp_path / "c" / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:500])
    with pytest.raises(InputError, match="complete"):
        ViewStore.load(tmp_path / "c")
    noise(4).save(tmp_path / "c")  # a damaged shard is written again
    assert same(ViewStore.load(tmp_path / "c"), noise(4))


def test_cat_joins_equal_configs_only():
    joined = ViewStore.cat([noise(2), noise(3, seed=1)])
    assert len(joined) == len(joined.names) == 5
    assert torch.equal(joined.targets[2:], noise(3, seed=1).targets)
    with pytest.raises(InputError, match="scale_jitter"):
        ViewStore.cat([noise(1), noise(1, config=replace(TINY, scale_jitter=0.1))])


def test_groups_share_their_weight():
    mixed = noise(4)
    mixed.names = ["a/1", "a/2", "b/1", "c"]
    assert mixed.group_probabilities({"a/*": 1.0, "b/*": 3.0}).tolist() == [0.125, 0.125, 0.75, 0.0]
    with pytest.raises(InputError, match="matches"):
        mixed.group_probabilities({"z*": 1.0})


def test_unusable_meshes_are_left_out(tmp_path: Path):
    (tmp_path / "bad.ply").write_text("ply\n")
    save_mesh(make(0).mesh, tmp_path / "good.ply")
    sources = [MeshSource(name, 0, str(tmp_path / f"{name}.ply")) for name in ("bad", "good")]
    filled, used = fill_store(Photographers(TINY), [Shot(source, 0, False) for source in sources])
    assert filled.names == ["good"]
    assert used == sources[1:]
    with pytest.raises(InputError, match="usable"):
        fill_store(Photographers(TINY), [Shot(sources[0], 0, False)])


@pytest.mark.slow
def test_worker_processes_take_the_same_pictures():
    shots = [Shot(source, 5, source.index % 2 > 0) for source in procedural_sources(range(4))]
    alone, _ = fill_store(Photographers(TINY), shots)
    photographers = Photographers(TINY, workers=2)
    together, _ = fill_store(photographers, shots)
    photographers.close()
    assert same(alone, together)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_killed_worker_ends_the_work_with_a_sentence():
    with Workers(2) as workers, pytest.raises(InputError, match="killed"):
        list(workers.map(os._exit, [1] * 5))


def test_render_dataset_goes_on_and_never_keeps_other_pictures(tmp_path: Path):
    config = RenderDataset(output=tmp_path / "whole", procedural=3, variants=2, record=TINY)
    assert list(render_dataset(config)) == [(2, 6), (4, 6), (6, 6)]
    whole = ViewStore.load(config.output)
    assert whole.names == [f"procedural/{1_000_000 + k}" for k in (0, 1, 2, 0, 1, 2)]
    assert not torch.equal(whole.targets[0], whole.targets[3])  # the second variant is warped

    cut = replace(config, output=tmp_path / "cut")
    for _ in zip(range(1), render_dataset(cut), strict=False):
        pass
    with pytest.raises(InputError, match="complete"):
        ViewStore.load(cut.output)
    (first,) = cut.output.glob("shard-*")
    before = first.stat().st_mtime_ns
    list(render_dataset(cut))
    assert first.stat().st_mtime_ns == before
    assert same(ViewStore.load(cut.output), whole)

    other = replace(cut, seed=1)
    with pytest.raises(InputError, match="--overwrite"):
        list(render_dataset(other))
    list(render_dataset(replace(other, procedural=1, overwrite=True)))
    assert len(ViewStore.load(cut.output)) == 2
    assert len(list(cut.output.glob("shard-*"))) == 1


def test_a_changed_mesh_is_rendered_again(tmp_path: Path):
    save_mesh(make(0).mesh, tmp_path / "meshes" / "a.ply")
    config = RenderDataset((tmp_path / "meshes",), tmp_path / "views", record=TINY)
    list(render_dataset(config))
    before = ViewStore.load(config.output)
    save_mesh(make(1).mesh, tmp_path / "meshes" / "a.ply")
    list(render_dataset(replace(config, overwrite=True)))
    assert not same(ViewStore.load(config.output), before)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "nothing to render"),
        (["missing"], "missing"),
        (["--procedural", "-1"], "--procedural"),
        (["--procedural", "1", "--size", "2"], "--size"),
        (["--procedural", "1", "--device", "abacus"], "abacus"),
        (["--procedural", "1", "--ring-views", "7"], "multiple of 6"),
        (["{tmp}/bad.ply"], "usable"),
    ],
)
def test_bad_input_to_render_dataset(tmp_path: Path, arguments: list[str], reason: str):
    (tmp_path / "bad.ply").write_text("ply\n")
    command = [sys.executable, str(ROOT / "tools" / "render_dataset.py"), "--output", str(tmp_path / "views")]
    command += [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 2
    assert reason in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "views" / "manifest.json").exists()
