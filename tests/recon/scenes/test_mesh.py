"""Meshes, colliders and boxes of scenes."""

import torch

from recon.core.mesh import TexturedMesh
from recon.scenes import SceneGrid, scene_mesh
from recon.scenes.boxes import box_mesh, collision_boxes
from recon.scenes.field import OCCUPIED, SceneField
from recon.scenes.mesh import SceneMeshConfig, collider, observed_surface, split_long_edges, without_fragments

GRID = SceneGrid(torch.tensor([0.0, 0.0, 0.0]), 0.1, (12, 10, 14))


def test_the_border_of_the_known_stays_open_and_fronts_face_free_space():
    points = GRID.points()
    distance = points[..., 1] - 0.42
    observed = points[..., 0] < 0.61
    mesh = observed_surface(distance, observed, GRID)
    low, high = mesh.bounds
    torch.testing.assert_close(low, torch.tensor([0.05, 0.42, 0.05]), atol=1e-4, rtol=0)
    torch.testing.assert_close(high, torch.tensor([0.55, 0.42, 1.35]), atol=1e-4, rtol=0)  # to the last observed center
    assert (mesh.face_normals()[:, 1] > 0.999).all()
    assert len(observed_surface(distance, torch.zeros_like(observed), GRID)) == 0
    assert len(observed_surface(torch.ones_like(distance), observed, GRID)) == 0


def test_a_room_faces_its_inside_and_fits_its_budgets(small_room, small_field):
    mesh = scene_mesh(small_field, SceneMeshConfig(faces=20_000))
    coarse = collider(mesh, SceneMeshConfig(collider_faces=2_000))
    assert len(mesh) <= 20_000
    assert len(coarse) <= 2_000
    for one in (mesh, coarse):
        toward = -one.triangles.mean(1)  # the camera stands at the origin
        area = torch.linalg.cross(*(one.triangles[:, i] - one.triangles[:, 0] for i in (1, 2))).norm(dim=-1)
        facing = (one.face_normals() * toward).sum(-1) > 0
        assert float(area[facing].sum() / area.sum()) > 0.97


def test_fragments_are_dropped():
    big = TexturedMesh(torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]]), torch.tensor([[0, 1, 2]]))
    small = TexturedMesh(big.vertices * 0.01 + 5, big.faces)
    both = TexturedMesh(torch.cat([big.vertices, small.vertices]), torch.cat([big.faces, small.faces + 3]))
    assert len(without_fragments(both, 0.01)) == 1
    assert len(without_fragments(small, 0.01)) == 1  # the largest part always stays


def test_long_edges_are_split_without_cracks(small_field):
    mesh = scene_mesh(small_field, SceneMeshConfig(faces=500))
    limit = torch.full((len(mesh.vertices),), 0.15)
    fine, source = split_long_edges(mesh, limit, rounds=12)
    edges = fine.triangles - fine.triangles.roll(-1, 1)
    assert float(edges.norm(dim=-1).max()) <= 0.15 + 1e-5
    area = [
        float(torch.linalg.cross(*(m.triangles[:, i] - m.triangles[:, 0] for i in (1, 2))).norm(dim=-1).sum())
        for m in (mesh, fine)
    ]
    assert abs(area[0] - area[1]) < 1e-4 * area[0]
    assert ((fine.face_normals() * mesh.face_normals()[source]).sum(-1) > 0.99).float().mean() > 0.995

    def border(m: TexturedMesh) -> float:
        """Length of the edges that only one face uses: a crack would add to it."""
        a, b = m.faces.reshape(-1), m.faces.roll(-1, 1).reshape(-1)
        key, count = torch.unique(torch.minimum(a, b) * len(m.vertices) + torch.maximum(a, b), return_counts=True)
        ends = key[count == 1]
        return float((m.vertices[ends // len(m.vertices)] - m.vertices[ends % len(m.vertices)]).norm(dim=-1).sum())

    assert abs(border(fine) - border(mesh)) < 1e-3 * border(mesh)


def test_boxes_cover_what_is_occupied_and_little_else():
    state = torch.zeros(1, *GRID.shape, dtype=torch.uint8)
    state[0, :, :2] = OCCUPIED  # floor
    state[0, 4:6, 2:8, 6:8] = OCCUPIED  # post
    field = SceneField(GRID, state, torch.zeros(state.shape), torch.ones(state.shape))
    boxes = collision_boxes(field)
    assert len(boxes) == 2
    points = GRID.points()[state[0] == OCCUPIED]
    inside = ((points[:, None] > boxes[:, 0]) & (points[:, None] < boxes[:, 1])).all(-1)
    assert (inside.sum(1) == 1).all()
    assert float((boxes[:, 1] - boxes[:, 0]).prod(-1).sum()) < 1.2 * len(points) * GRID.cell_volume
    mesh = box_mesh(boxes[0])
    center = (boxes[0, 0] + boxes[0, 1]) / 2
    assert ((mesh.triangles.mean(1) - center) * mesh.face_normals()).sum(-1).min() > 0


def test_few_boxes_are_enough_for_a_room(small_field):
    boxes = collision_boxes(small_field, 100)
    assert 4 <= len(boxes) <= 100
    points = small_field.grid.points()[small_field.occupied[0]]
    slack = 1e-4
    inside = ((points[:, None] > boxes[:, 0] - slack) & (points[:, None] < boxes[:, 1] + slack)).all(-1)
    assert inside.any(1).all()
