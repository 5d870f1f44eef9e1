"""Compare this program's reading of mesh files with Blender's: silhouettes and base colors from two sides."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
import tyro
from jaxtyping import Float
from PIL import Image

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import load_mesh
from recon.io.meshes.notes import Notes
from recon.rendering.shade import sample_texture

_DIRECTIONS = ((0.5, 0.4, 0.77), (-0.6, -0.3, -0.74))
_GRAY = 0.7


@dataclass(frozen=True)
class Compare:
    """Print a Markdown table: overlap of silhouettes and mean color difference for each file."""

    files: tyro.conf.Positional[list[Path]]
    """Mesh files: .glb, .gltf, .obj, .ply or .stl."""
    blender: Path = Path("python")
    """A Python interpreter that has the package ``bpy``."""
    pixels: int = 96
    """Side of the pictures."""
    pictures: Path | None = None
    """Folder for pictures of both readings side by side."""


def main(config: Compare) -> None:
    """Render each file by both readers and print a row for it."""
    jobs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for file in config.files:
            notes = Notes()
            try:
                mesh = load_mesh(file, notes)
            except InputError as error:
                print(f"| {file.name} | refused: {str(error)[:100]} | | |")
                continue
            for camera, width in cameras(mesh):
                picture = str(Path(folder) / f"{len(jobs)}.png")
                job = {"file": str(file), "picture": picture, "camera": camera.tolist(), "width": width}
                jobs.append({**job, "pixels": config.pixels})
                ours.append((file, notes, albedo(mesh, camera, width, config.pixels)))
        work = Path(folder) / "jobs.json"
        work.write_text(json.dumps(jobs))
        script = Path(__file__).with_name("blender_albedo.py")
        subprocess.run([str(config.blender), str(script), str(work)], stdout=subprocess.DEVNULL, check=False)
        print("| file | overlap of silhouettes | colour difference (0…255) | not shown |\n|---|---|---|---|")
        for k in range(0, len(jobs), len(_DIRECTIONS)):
            pairs = [(ours[i][2], _picture(jobs[i]["picture"])) for i in range(k, k + len(_DIRECTIONS))]
            print(_row(ours[k][0], ours[k][1], pairs))
            if config.pictures is not None:
                config.pictures.mkdir(parents=True, exist_ok=True)
                both = [np.concatenate([a, a * 0 if b is None else b], 1) for a, b in pairs]
                name = f"{ours[k][0].stem}.png"
                Image.fromarray((np.concatenate(both, 0) * 255).astype(np.uint8)).save(config.pictures / name)


def cameras(mesh: TexturedMesh) -> list[tuple[Float[np.ndarray, "4 4"], float]]:
    """Orthographic cameras that see the whole mesh: camera to world (x right, y up, z backwards) and width of view."""
    low, high = (each.double().numpy() for each in mesh.bounds)
    center, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    found = []
    for direction in _DIRECTIONS:
        back = np.array(direction) / np.linalg.norm(direction)
        right = np.cross([0, 1, 0], back)
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([right, np.cross(back, right), back], 1)
        matrix[:3, 3] = center + 3 * radius * back
        found.append((matrix, 2.05 * radius))
    return found


def albedo(mesh: TexturedMesh, camera: Float[np.ndarray, "4 4"], width: float, pixels: int) -> np.ndarray:
    """RGBA [h w 4] of the first surface on each ray, without light; 2 x 2 rays a pixel."""
    side = 2 * pixels
    axis = ((np.arange(side) + 0.5) / side - 0.5) * width
    x, y = np.meshgrid(axis, -axis)
    start = np.stack([x, y, 0 * x], -1).reshape(-1, 3) @ camera[:3, :3].T + camera[:3, 3]
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    along = np.broadcast_to(-camera[:3, 2], start.shape)
    places, rays, faces = solid.ray.intersects_location(start, along, multiple_hits=False)
    weights = trimesh.triangles.points_to_barycentric(solid.triangles[faces], places)
    weights = torch.from_numpy(np.nan_to_num(weights, nan=1 / 3)).float()[..., None]
    image = np.zeros((side * side, 4), np.float32)
    image[rays, :3], image[rays, 3] = _colors(mesh, torch.from_numpy(faces), weights).clamp(0, 1).numpy(), 1
    return image.reshape(pixels, 2, pixels, 2, 4).mean((1, 3))


def _colors(mesh: TexturedMesh, faces: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    if mesh.uv is not None and mesh.texture is not None:
        return sample_texture(mesh.texture, (mesh.uv[faces] * weights).sum(1))
    if mesh.colors is not None:
        return (mesh.colors[mesh.faces[faces]] * weights).sum(1)
    return torch.full((len(faces), 3), _GRAY)


def _picture(path: str) -> np.ndarray | None:
    if not Path(path).is_file():
        return None
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"), np.float32) / 255


def _row(file: Path, notes: Notes, pairs: list[tuple[np.ndarray, np.ndarray | None]]) -> str:
    name = "/".join(file.parts[-3:])
    if any(b is None for _, b in pairs):
        return f"| {name} | Blender cannot read it | | {notes.text()} |"
    ours, theirs = (np.concatenate(each) for each in zip(*pairs, strict=True))
    a, b = ours[..., 3] > 0.5, theirs[..., 3] > 0.5
    both = (ours[..., 3] > 0.99) & (theirs[..., 3] > 0.99)
    overlap = (a & b).sum() / max(1, (a | b).sum())
    difference = 255 * np.abs(ours[both][:, :3] - theirs[both][:, :3]).mean() if both.any() else np.nan
    return f"| {name} | {overlap:.3f} | {difference:.1f} | {notes.text()} |"


if __name__ == "__main__":
    main(tyro.cli(Compare))
