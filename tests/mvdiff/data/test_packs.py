"""Mesh packs give back what was written, to the last bit that they keep."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvdiff.data.procedural import make
from mvdiff.data.sources.packs import MeshPack
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh


@st.composite
def meshes(draw) -> TexturedMesh:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    vertices, faces = draw(st.integers(1, 40)), draw(st.integers(0, 60))
    colors = rng.uniform(size=(vertices, 3)) if draw(st.booleans()) else None
    corners = rng.integers(0, vertices, (faces, 3))
    return TexturedMesh.from_arrays(rng.uniform(-0.5, 0.5, (vertices, 3)), corners, colors)


@settings(max_examples=40, deadline=None)
@given(st.lists(meshes(), min_size=1, max_size=5))
def test_round_trip(tmp_path_factory, objects: list[TexturedMesh]):
    path = tmp_path_factory.mktemp("pack") / "pack.npz"
    names = [f"set/object {k}" for k in range(len(objects))]
    assert MeshPack.write(path, zip(names, objects, strict=True)) == len(objects)
    pack = MeshPack.load(path)
    assert pack.names.tolist() == names
    for read, written in zip(pack, objects, strict=True):
        assert torch.equal(read.faces, written.faces)
        assert (read.vertices - written.vertices).abs().max() <= 0.5 / 65535 + 1e-6
        colors = torch.full_like(written.vertices, 0.7) if written.colors is None else written.colors
        assert (read.colors - colors).abs().max() <= 0.5 / 255 + 1e-6


def test_a_second_round_trip_changes_nothing(tmp_path: Path):
    MeshPack.write(tmp_path / "a.npz", [(str(seed), make(seed).mesh) for seed in range(3)])
    once = MeshPack.load(tmp_path / "a.npz")
    MeshPack.write(tmp_path / "b.npz", zip(once.names, once, strict=True))
    twice = MeshPack.load(tmp_path / "b.npz")
    assert np.array_equal(once.vertices, twice.vertices)
    assert np.array_equal(once.colors, twice.colors)
    assert np.array_equal(once.faces, twice.faces)


def test_indices(tmp_path: Path):
    MeshPack.write(tmp_path / "a.npz", [(str(seed), make(seed).mesh) for seed in range(2)])
    pack = MeshPack.load(tmp_path / "a.npz")
    assert torch.equal(pack[-1].vertices, pack[1].vertices)
    for index in (2, -3):
        with pytest.raises(IndexError):
            pack[index]


def test_what_does_not_fit_is_refused_and_nothing_is_left(tmp_path: Path):
    large = TexturedMesh.from_arrays(np.full((3, 3), 0.8), np.array([[0, 1, 2]]))
    many = TexturedMesh.from_arrays(np.zeros((65_537, 3)), np.array([[0, 1, 2]]))
    for objects, reason in (([("a", large)], "unit cube"), ([("a", many)], "decimate"), ([], "no object")):
        with pytest.raises(InputError, match=reason):
            MeshPack.write(tmp_path / "pack.npz", objects)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 cut off"])
def test_unreadable_packs(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "pack.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"pack_meshes\.py"):
        MeshPack.load(tmp_path / "pack.npz")


def test_an_archive_of_other_arrays_is_no_pack(tmp_path: Path):
    np.savez(tmp_path / "pack.npz", vertices=np.zeros((3, 3)))
    with pytest.raises(InputError, match="faces"):
        MeshPack.load(tmp_path / "pack.npz")
