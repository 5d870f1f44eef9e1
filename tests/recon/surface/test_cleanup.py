"""What leaves the clean-up is closed, manifold, small enough and free of degenerate faces, whatever went in."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from recon import TexturedMesh
from recon.core.grid import VoxelGrid
from recon.io.meshes.files import load_mesh, save_mesh
from recon.metrics.shape import nearest
from recon.surface import cleanup
from recon.surface.cleanup import decimate, heights, is_manifold, is_watertight, make_watertight, remove_degenerate


def ball(subdivisions: int = 4, radius: float = 0.4) -> TexturedMesh:
    import trimesh

    made = trimesh.creation.icosphere(subdivisions, radius)
    return TexturedMesh.from_arrays(made.vertices, made.faces)


@pytest.fixture(scope="module")
def rough() -> TexturedMesh:
    """Thin sheets and specks: noise on a sphere's distance."""
    grid = VoxelGrid(torch.zeros(3), 0.55, 48)
    noise = torch.randn(48, 48, 48, generator=torch.Generator().manual_seed(0))
    noise = torch.nn.functional.avg_pool3d(noise[None], 3, 1, 1)[0]
    return grid.surface(grid.points().norm(dim=-1) - 0.35 + 0.1 * noise)


def volume(mesh: TexturedMesh) -> float:
    a, b, c = mesh.triangles.double().unbind(1)
    return float((torch.linalg.cross(a, b) * c).sum()) / 6


@pytest.mark.parametrize("faces", [200, 2000, 9000])
def test_decimation_keeps_its_promises_on_rough_surfaces(rough, faces):
    made = decimate(rough, faces)
    assert len(made) <= max(faces, 0)
    assert is_watertight(made)
    assert is_manifold(made)
    assert heights(made).min() > 5e-6
    assert volume(made) == pytest.approx(volume(rough), rel=0.25)


def test_decimation_may_run_in_threads():
    meshes = [ball(4, 0.2 + 0.05 * k) for k in range(6)]
    alone = [decimate(mesh, 800) for mesh in meshes]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda mesh: decimate(mesh, 800), meshes))
    assert all(torch.equal(a.vertices, b.vertices) for a, b in zip(alone, together, strict=True))


def test_slivers_are_opened_without_moving_the_rest():
    mesh = ball(3)
    a, b = mesh.faces[10, 0], mesh.faces[10, 1]
    vertices = mesh.vertices.clone()
    vertices[a] = vertices[b] + 1e-7  # a needle on either side of the edge
    squeezed = replace(mesh, vertices=vertices)
    assert heights(squeezed).min() < 1e-6
    made = remove_degenerate(squeezed)
    assert heights(made).min() > 5e-6
    moved = (made.vertices - squeezed.vertices).norm(dim=-1) > 0
    assert moved.sum() < 12
    assert torch.equal(made.faces, squeezed.faces)
    assert torch.equal(remove_degenerate(mesh).vertices, mesh.vertices)


def test_holes_are_closed(monkeypatch):
    monkeypatch.setattr(cleanup, "_REMESH", 48)
    mesh = ball()
    open_ = replace(mesh, faces=mesh.faces[mesh.triangles.mean(1)[:, 1] < 0.36])
    assert not is_watertight(open_)
    assert not is_manifold(open_)
    made = make_watertight(open_)
    assert is_watertight(made)
    assert is_manifold(made)
    assert volume(made) == pytest.approx(volume(mesh), rel=0.05)
    assert float(nearest(made.vertices, mesh.vertices)[0].max()) < 0.06
    assert make_watertight(mesh) is mesh


def test_sheets_that_share_vertices_are_parted(tmp_path):
    import trimesh

    left, right = (trimesh.creation.box(bounds=[(x, 0, 0), (x + 0.5, 0.5, 0.5)]) for x in (0.0, 0.5))
    right.apply_translation([0, 0.5, 0])  # the two meet in an edge that four faces use
    both = trimesh.util.concatenate([left, right])
    both.merge_vertices()
    mesh = TexturedMesh.from_arrays(both.vertices, both.faces)
    assert not is_watertight(mesh)
    made = make_watertight(mesh)
    assert is_watertight(made)
    assert volume(made) == pytest.approx(0.25, rel=0.02)
    # Files tell vertices by their places: there, too, the sheets stay apart.
    kept = remove_degenerate(made)
    assert len(torch.unique(kept.vertices, dim=0)) == len(kept.vertices)
    assert is_watertight(load_mesh(save_mesh(kept, tmp_path / "parted.glb")))
