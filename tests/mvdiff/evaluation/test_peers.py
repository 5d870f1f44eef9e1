"""Pictures that other programs took: rendered here by trimesh's ray caster with OpenGL cameras of the test's own, and
described in the files of nerfstudio, COLMAP and a turntable. The object comes back in place, in size, unmirrored."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from mvdiff.cli.main import main

SIZE, FOCAL, CENTER = 80, 110.0, (41.5, 38.0)
COLORS = ((200, 40, 40), (40, 160, 60), (60, 80, 220))


def asymmetric() -> list[trimesh.Trimesh]:
    """A red plate, a green post on its right at the back, a blue knob at the front left: no mirror image of itself."""
    boxes = [
        ((-0.4, -0.3, -0.3), (0.4, -0.1, 0.3)),
        ((0.15, -0.1, -0.3), (0.4, 0.4, -0.05)),
        ((-0.4, -0.1, 0.05), (-0.15, 0.1, 0.3)),
    ]
    return [trimesh.creation.box(bounds=box) for box in boxes]


def moved(parts: list[trimesh.Trimesh], matrix: np.ndarray) -> list[trimesh.Trimesh]:
    return [part.copy().apply_transform(matrix) for part in parts]


def gl_look_at(position: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Camera-to-world of OpenGL: columns are right, up, backward, position."""
    back = (position - target) / np.linalg.norm(position - target)
    right = np.cross(up, back) / np.linalg.norm(np.cross(up, back))
    matrix = np.eye(4)
    matrix[:3] = np.stack([right, np.cross(back, right), back, position], 1)
    return matrix


def photograph(parts: list[trimesh.Trimesh], c2w: np.ndarray, path: Path) -> None:
    """Through the pixels' centers, first hit, flat colors, transparent background."""
    row, column = np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5, indexing="ij")
    local = np.stack([(column - CENTER[0]) / FOCAL, -(row - CENTER[1]) / FOCAL, -np.ones_like(row)], -1).reshape(-1, 3)
    whole = trimesh.util.concatenate(parts)
    owner = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts])
    hit = whole.ray.intersects_first(np.broadcast_to(c2w[:3, 3], local.shape), local @ c2w[:3, :3].T)
    rgba = np.zeros((SIZE * SIZE, 4), np.uint8)
    rgba[hit >= 0, :3], rgba[hit >= 0, 3] = np.array(COLORS)[owner[hit[hit >= 0]]], 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba.reshape(SIZE, SIZE, 4)).save(path)


def chamfer(a: trimesh.Trimesh, b: trimesh.Trimesh) -> float:
    from scipy.spatial import cKDTree

    p, q = (trimesh.sample.sample_surface(mesh, 3000, seed=0)[0] for mesh in (a, b))
    return (cKDTree(p).query(q)[0].mean() + cKDTree(q).query(p)[0].mean()) / 2


def check(folder: Path, out: Path, parts: list[trimesh.Trimesh], *options: str, tolerance: float = 0.03) -> None:
    """Reconstruct by the command and hold the result against the original in its own frame."""
    assert main(["reconstruct", str(folder), "--output-dir", str(out), "--preset", "fast", *options]) == 0
    truth = trimesh.util.concatenate(parts)
    made = trimesh.load(out / "mesh.glb", force="mesh")
    error = chamfer(made, truth)
    assert error < tolerance * truth.scale
    # From silhouettes alone the object is larger than the original, never by this much.
    assert made.extents == pytest.approx(truth.extents, rel=0.35)
    for axis in range(3):
        mirrored = truth.copy()
        mirrored.vertices[:, axis] = truth.bounds.sum(0)[axis] - mirrored.vertices[:, axis]
        assert chamfer(made, mirrored) > 2 * error


@pytest.fixture
def blender(tmp_path: Path) -> tuple[Path, list[trimesh.Trimesh], list[np.ndarray]]:
    """A z-up world, the object three times as large and far from the origin; six cameras around it."""
    to_z_up = np.array([[3, 0, 0, 7], [0, 0, -3, -4], [0, 3, 0, 2], [0, 0, 0, 1]], float)
    parts, cameras = moved(asymmetric(), to_z_up), []
    middle = np.array([7.0, -4.0, 2.0])
    for k in range(6):
        angle, height = np.radians(60 * k + 10), (1.8, -0.7)[k % 2]
        position = middle + np.array([4.5 * np.cos(angle), 4.5 * np.sin(angle), height])
        cameras.append(gl_look_at(position, middle + np.array([0.1, 0, 0]), np.array([0, 0, 1.0])))
        photograph(parts, cameras[-1], tmp_path / f"data/images/r_{k}.png")
    return tmp_path / "data", parts, cameras


def test_transforms_json_of_nerfstudio(blender, tmp_path: Path) -> None:
    folder, parts, cameras = blender
    frames = [
        {"file_path": f"images/r_{k}.png", "transform_matrix": matrix.tolist()} for k, matrix in enumerate(cameras)
    ]
    lens = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": CENTER[0], "cy": CENTER[1], "w": SIZE, "h": SIZE}
    (folder / "transforms.json").write_text(json.dumps({"camera_model": "PINHOLE", **lens, "frames": frames}))
    check(folder, tmp_path / "out", parts)


def test_text_model_of_colmap(blender, tmp_path: Path) -> None:
    from scipy.spatial.transform import Rotation

    folder, parts, cameras = blender
    lines = ["# Image list with two lines of data per image:"]
    for k, matrix in reversed(list(enumerate(cameras))):
        opencv = matrix @ np.diag([1.0, -1, -1, 1])
        rotation = opencv[:3, :3].T
        x, y, z, w = Rotation.from_matrix(rotation).as_quat()
        tx, ty, tz = -rotation @ opencv[:3, 3]
        lines += [f"{k + 1} {w} {x} {y} {z} {tx} {ty} {tz} 1 r_{k}.png", "10.5 20.5 -1 30.0 40.0 7" if k % 2 else ""]
    model = folder / "sparse/0"
    model.mkdir(parents=True)
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    (model / "cameras.txt").write_text(
        f"# Camera list\n1 SIMPLE_PINHOLE {SIZE} {SIZE} {FOCAL} {CENTER[0]} {CENTER[1]}\n"
    )
    check(folder, tmp_path / "out", parts)


@pytest.mark.parametrize("named", [True, False], ids=["names", "options"])
def test_turntable(tmp_path: Path, monkeypatch, named: bool) -> None:
    """The camera stands still (at one height, or two in turn); the plate turns clockwise, seen from above."""
    monkeypatch.setitem(globals(), "CENTER", (SIZE / 2, SIZE / 2))
    angles = [0, 45, 90, 135, 180, 225, 270]
    for k, angle in enumerate(angles):
        elevation = np.radians(40 if named and k % 2 else 5)
        place = 2.0 * np.array([0, np.sin(elevation), np.cos(elevation)])
        turn = trimesh.transformations.rotation_matrix(-np.radians(angle), [0, 1, 0])
        name = f"cup_az{angle:03d}_el{40 if k % 2 else 5}.png" if named else f"{k:03d}.png"
        camera = gl_look_at(place, np.zeros(3), np.array([0, 1.0, 0]))
        photograph(moved(asymmetric(), turn), camera, tmp_path / "data" / name)
    fov = float(np.degrees(2 * np.arctan(SIZE / 2 / FOCAL)))
    options = ["--fov", str(fov), "--distance", "2.0"]
    options += [] if named else ["--elevation", "5", "--azimuths", *map(str, angles)]
    # From one height alone nothing says how deep the hollows are.
    check(tmp_path / "data", tmp_path / "out", asymmetric(), *options, tolerance=0.035)


def test_bad_files_leave_nothing(blender, tmp_path: Path, capsys) -> None:
    folder, _, _ = blender
    (folder / "cameras.txt").write_text("1 THIN_PRISM_FISHEYE 80 80 110 110 40 40 0.1 0 0 0 0 0 0 0\n")
    (folder / "images.txt").write_text("1 1 0 0 0 0 0 2 1 r_0.png\n\n")
    assert main(["reconstruct", str(folder), "--output-dir", str(tmp_path / "out")]) == 2
    assert main(["reconstruct", str(folder / "images"), "--output-dir", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "THIN_PRISM_FISHEYE" in lines[0]
    assert "give --azimuths" in lines[1]
    assert not (tmp_path / "out").exists()
