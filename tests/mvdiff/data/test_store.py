"""Stores of rendered views: whole or refused, resumed but never stale."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch
from PIL import Image

from mvdiff.cli.main import main
from mvdiff.data import dataset
from mvdiff.data.dataset import balanced, render_dataset
from mvdiff.data.procedural import make
from mvdiff.data.render.config import RenderDataset
from mvdiff.data.render.jobs import Photographers, Shot, fill_store
from mvdiff.data.render.record import RecordConfig
from mvdiff.data.render.workers import Workers
from mvdiff.data.sources.meshes import MeshSource, procedural_sources
from mvdiff.data.stores import shards, store
from mvdiff.data.stores.shards import ShardReader
from mvdiff.data.stores.store import ViewStore
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import save_mesh

TINY = RecordConfig(size=16, supersample=1, ring_views=6, references=2)
ROOT = Path(__file__).parents[3]


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
    for module in (store, dataset, shards):
        monkeypatch.setattr(module, "SHARD_OBJECTS", 2)


def test_round_trip(tmp_path: Path):
    for count in (1, 2, 5):
        noise(count).save(tmp_path)
        read = ViewStore.load(tmp_path)
        assert same(read, noise(count))
        assert read.config == TINY
        assert len(list(tmp_path.glob("shard-*.tar"))) == -(-count // 2)  # none is left of a larger store


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


def test_half_replaced_and_damaged_sets_are_refused(tmp_path: Path):
    noise(4, seed=0).save(tmp_path / "a")
    noise(4, seed=1).save(tmp_path / "b")
    (tmp_path / "b" / "shard-00001.tar").replace(tmp_path / "a" / "shard-00001.tar")
    with pytest.raises(InputError, match="other pictures"):
        ViewStore.load(tmp_path / "a")
    for missing in ("b", "none"):
        with pytest.raises(InputError, match="mvdiff data render"):
            ViewStore.load(tmp_path / missing)
    noise(4).save(tmp_path / "c")
    shard = tmp_path / "c" / "shard-00000.tar"
    whole = shard.read_bytes()
    for size in (0, 100, 600, len(whole) // 2):
        shard.write_bytes(whole[:size])
        with pytest.raises(InputError, match="complete"):
            ViewStore.load(tmp_path / "c")
    noise(4).save(tmp_path / "c")  # a damaged shard is written again
    assert same(ViewStore.load(tmp_path / "c"), noise(4))


def test_members_that_could_run_code_are_not_even_decoded(tmp_path: Path):
    noise(2).save(tmp_path)
    path = tmp_path / "shard-00000.tar"
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    bomb = b"cos\nsystem\n(S'touch /tmp/never'\ntR."
    for name in ("0000000001.pyd", "0000000001.pickle", "0000000001.pth"):
        with tarfile.open(path, "w") as tar:
            for own, data in [*members[:3], (name, bomb), *members[3:]]:
                entry = tarfile.TarInfo(own)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        with pytest.raises(InputError, match="not read"):
            ViewStore.load(tmp_path)


def test_sets_are_read_from_any_file_system():
    """fsspec's memory:// stands for S3 and the like."""
    files = fsspec.filesystem("memory")
    noise(3).save(folder := Path(tempfile.mkdtemp()))
    for path in folder.iterdir():
        files.pipe_file(f"/bucket/views/{path.name}", path.read_bytes())
    assert same(ViewStore.load("memory://bucket/views"), noise(3))
    assert [item.name for item in ShardReader("memory://bucket/views").read(1)] == ["set/2"]


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


_KILLED = """
import os, signal, time
from mvdiff.data.render.workers import Workers

if __name__ == "__main__":
    workers = Workers(2)
    numbers = [workers.submit(eval, "(__import__('time').sleep(1), __import__('os').getpid())[1]") for _ in range(2)]
    print(*{number.result() for number in numbers}, flush=True)
    busy = [workers.submit(time.sleep, 2) for _ in range(4)]
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for the process in /proc")
def test_workers_end_with_a_killed_parent(tmp_path: Path):
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    with (tmp_path / "numbers").open("w") as numbers:
        ended = subprocess.run([sys.executable, script], stdout=numbers, check=False)
    assert ended.returncode == -signal.SIGKILL
    workers = [Path("/proc") / number for number in (tmp_path / "numbers").read_text().split()]
    assert workers
    deadline = time.monotonic() + 30
    while any(worker.exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(worker.exists() for worker in workers)


SIZES = {"size": 16, "supersample": 1, "ring_views": 6, "references": 2}


def test_render_dataset_goes_on_and_never_keeps_other_pictures(tmp_path: Path):
    config = RenderDataset(output=tmp_path / "whole", procedural=3, variants=2, **SIZES)
    assert [done for done, _, shard in render_dataset(config) if shard] == [2, 4, 6]
    whole = ViewStore.load(config.output)
    assert sorted(whole.names) == sorted(f"procedural/{1_000_000 + k}" for k in (0, 1, 2, 0, 1, 2))
    one, other = (k for k, name in enumerate(whole.names) if name == "procedural/1000000")
    assert not torch.equal(whole.targets[one], whole.targets[other])  # the second variant is warped

    cut = replace(config, output=tmp_path / "cut")
    for _, _, shard in render_dataset(cut):
        if shard:
            break
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
    config = RenderDataset((tmp_path / "meshes",), tmp_path / "views", **SIZES)
    list(render_dataset(config))
    before = ViewStore.load(config.output)
    save_mesh(make(1).mesh, tmp_path / "meshes" / "a.ply")
    list(render_dataset(replace(config, overwrite=True)))
    assert not same(ViewStore.load(config.output), before)


def test_shards_are_balanced_and_mix_the_families():
    shots = [Shot(source, 0, False) for source in procedural_sources(range(7))]
    parts = balanced(shots)
    assert sorted(map(len, parts)) == [1, 2, 2, 2]
    assert sorted(shot.source.index for part in parts for shot in part) == list(range(7))
    assert [shot.source.index for shot in parts[0]] == [0, 4]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Path:
    """Good meshes of all kinds of sizes among bad ones."""
    folder = tmp_path_factory.mktemp("catalogue")
    mesh = make(0, "mug").mesh
    for name, scale in (("huge", 1e6), ("tiny", 1e-6)):
        save_mesh(replace(mesh, vertices=mesh.vertices * scale), folder / f"{name}.glb")
    corners = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3], [1, 2, 3]])
    save_mesh(TexturedMesh(corners, faces), folder / "five_faces.ply")
    (folder / "lost_texture.obj").write_text(
        "mtllib lost.mtl\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\n"
        "f 1/1 3/1 2/1\nf 1/1 2/1 4/1\nf 1/1 4/1 3/1\nf 2/1 3/1 4/1\n"
    )
    (folder / "lost.mtl").write_text("newmtl a\nmap_Kd nowhere.png\n")
    whole = (folder / "huge.glb").read_bytes()
    (folder / "cut_short.glb").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.stl").write_bytes(b"")
    (folder / "flat.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n"
    )
    (folder / "credits.csv").write_text("name,licence,creator\nhuge,CC0-1.0,Ada\n")
    return folder


def test_bad_meshes_are_named_and_the_good_ones_rendered(catalog: Path, tmp_path: Path, capsys):
    credits = ["--credits", str(catalog / "credits.csv")]
    sizes = [part for name, value in SIZES.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["data", "render", str(catalog), str(tmp_path / "views"), *credits, *sizes]) == 0
    said = capsys.readouterr().out
    assert "4 objects, 3 skipped" in said
    for name in ("cut_short", "empty", "flat"):
        assert f"skipped {name}: " in said
    assert "note lost_texture: rendered without nowhere.png" in said
    reader = ShardReader(tmp_path / "views")
    origins = {origin["name"]: origin for shard in reader.shards for origin in shard.origins}
    assert set(origins) == {"huge", "tiny", "five_faces", "lost_texture"}
    assert (origins["huge"]["licence"], origins["huge"]["creator"]) == ("CC0-1.0", "Ada")
    assert origins["tiny"]["licence"] is None
    views = ViewStore.load(tmp_path / "views")
    huge, tiny = (views.targets[views.names.index(name)] for name in ("huge", "tiny"))
    assert (huge[:, 3] > 0).float().mean() == pytest.approx(float((tiny[:, 3] > 0).float().mean()), rel=0.1)

    assert main(["data", "check", str(tmp_path / "views"), "--output-dir", str(tmp_path / "check")]) == 0
    said = capsys.readouterr().out
    assert "CC0-1.0" in said
    assert "look at lost_texture: rendered without nowhere.png" in said
    assert "look at five_faces: it has one colour only" in said
    figures = json.loads((tmp_path / "check" / "statistics.json").read_text())
    assert figures["objects"] == 4
    assert figures["licences"] == {"unknown": 3, "CC0-1.0": 1}
    assert set(figures["skipped"]) == {"cut_short", "empty", "flat"}
    assert Image.open(tmp_path / "check" / "contact_sheet.png").size == (11 * 16, 4 * 16)


def test_a_full_disk_ends_with_a_sentence_and_loses_no_finished_shard(tmp_path: Path):
    config = RenderDataset(output=tmp_path / "views", procedural=3, **SIZES)
    for _, _, shard in render_dataset(config):
        if shard:
            break  # as if killed after the first shard
    (first,) = (tmp_path / "views").glob("shard-*.tar")
    small, before = first.stat().st_size // 3, first.read_bytes()
    command = [sys.executable, "-m", "mvdiff", "data", "render", str(tmp_path / "views"), "--procedural", "4"]
    command += [part for name, value in SIZES.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    run = subprocess.run(
        [*command, "--overwrite"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)),
    )
    assert run.returncode == 2, run.stderr
    assert "Cannot write to" in run.stderr
    assert "Traceback" not in run.stderr
    assert first.read_bytes() == before
    assert not list((tmp_path / "views").glob(".*partial*"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{tmp}/views"], "nothing to render"),
        ([], "last, the folder"),
        (["missing", "{tmp}/views"], "missing"),
        (["{tmp}/views", "--procedural", "-1"], "--procedural"),
        (["{tmp}/views", "--procedural", "1", "--size", "2"], "--size"),
        (["{tmp}/views", "--procedural", "1", "--device", "abacus"], "abacus"),
        (["{tmp}/views", "--procedural", "1", "--ring-views", "7"], "multiple of 6"),
        (["{tmp}/bad.ply", "{tmp}/views"], "usable"),
        (["{tmp}/void", "{tmp}/views"], "no mesh in"),
    ],
)
def test_bad_input_to_data_render(tmp_path: Path, capsys, arguments: list[str], reason: str):
    (tmp_path / "bad.ply").write_text("ply\n")
    (tmp_path / "void").mkdir()
    assert main(["data", "render", *(argument.replace("{tmp}", str(tmp_path)) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert not (tmp_path / "views" / "manifest.json").exists()


def test_the_tool_is_the_same_command(tmp_path: Path):
    run = subprocess.run(
        [sys.executable, "tools/render_dataset.py", str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 2
    assert "nothing to render" in run.stderr
