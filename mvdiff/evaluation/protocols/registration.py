"""Registration of known meshes: errors of the direction that is found for a photo of a turned and scaled mesh."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mvdiff.data.render.pictures import photo_like
from mvdiff.data.warp import SeededRandom
from mvdiff.evaluation.jobs.objects import ObjectSet
from mvdiff.sampling.reference import ReferenceImage, prepare
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import write_json
from recon.registration import Registration, register_to_photo
from recon.registration.poses import WORLDS, angles_between, world_rotations

#: Ranges of what is drawn: elevation in degrees, distance in units of the object's diameter, log scale of the mesh.
_ELEVATIONS, _DISTANCES, _LOG_SCALES = (-10.0, 60.0), (1.2, 3.0), (-2.0, 2.0)
_SIZE = 256


@dataclass(frozen=True)
class RegistrationEvaluation:
    meshes: Path
    """Folder of GLB, OBJ, PLY or STL files, or a mesh pack (.npz)."""
    output: Path = Path("registration.json")
    """Result: a summary, and one entry for each object."""
    limit: int | None = None
    """Only the first objects."""
    seed: int = 0
    """Seed of cameras, lights and the meshes' frames."""
    strangers: bool = True
    """Also register each mesh to the photo of the next object, whose silhouette it should not match."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit is at least 1, not {self.limit}.")


@dataclass(frozen=True)
class _Shot:
    """One photo-like picture of a mesh, and the mesh as another program might have written it."""

    reference: ReferenceImage
    moved: TexturedMesh
    rotation: torch.Tensor
    """From the axes of ``moved`` to the camera's, [1 3 3]."""
    record: dict[str, Any]


def evaluate_registration(
    config: RegistrationEvaluation, command: str = "", report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Photograph each object from a random direction in random light, and find the direction again."""
    config.check()
    objects = ObjectSet(config.meshes, config.limit)
    shots = [_shot(objects.mesh(k), config.seed * 10_000 + k) for k in range(len(objects))]
    entries = []
    for k, (name, shot) in enumerate(zip(objects.names, shots, strict=True)):
        start = time.process_time()
        found = register_to_photo(shot.moved.normalized(), shot.reference.rgba)
        entry = {"name": name, **shot.record, **_judged(found, shot), "seconds": time.process_time() - start}
        if config.strangers and len(shots) > 1:
            other = shots[(k + 1) % len(shots)].reference
            entry["stranger_iou"] = register_to_photo(shot.moved.normalized(), other.rgba).overlap
        entries.append(entry)
        report(f"{name}: {entry['error']:.2f}°, confidence {entry['found']['confidence']:.2f}")
    settings = {name: str(value) for name, value in asdict(config).items()}
    results = {"command": command, "settings": settings, "summary": summarize_errors(entries), "objects": entries}
    write_json(config.output, results)
    return results


def summarize_errors(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of objects whose error is small, of all and of those whose pose is stated with confidence."""
    error = np.array([entry["error"] for entry in entries])
    sure = np.array([entry["found"]["confidence"] > 0.8 for entry in entries])
    summary = {
        "objects": len(entries),
        "within_3_degrees": float((error <= 3).mean()),
        "within_2_degrees": float((error <= 2).mean()),
        "median_degrees": float(np.median(error)),
        "confident": float(sure.mean()),
        "within_3_degrees_of_confident": float((error[sure] <= 3).mean()) if sure.any() else None,
        "lowest_iou": min(entry["found"]["silhouette_iou"] for entry in entries),
        "processor_seconds": float(np.mean([entry["seconds"] for entry in entries])),
    }
    strangers = [entry["stranger_iou"] for entry in entries if "stranger_iou" in entry]
    if strangers:
        summary |= {"stranger_iou_median": float(np.median(strangers)), "stranger_iou_highest": max(strangers)}
    return summary


def _shot(mesh: TexturedMesh, seed: int) -> _Shot:
    """A photo of ``mesh`` (radius 0.5) and the mesh in a frame of its own."""
    u = torch.rand(8, generator=torch.Generator().manual_seed(seed)).tolist()
    azimuth, elevation = 360 * u[0], _between(_ELEVATIONS, u[1])
    distance = math.exp(_between((math.log(_DISTANCES[0]), math.log(_DISTANCES[1])), u[2]))
    camera = Cameras.orbit([azimuth], elevation, distance, fov=math.degrees(2 * math.asin(0.5 / distance)), size=_SIZE)
    world = int(u[3] * len(WORLDS))
    matrix, upright = torch.eye(4), world_rotations()[world]
    matrix[:3, :3] = upright.T * math.exp(_between(_LOG_SCALES, u[4]))
    matrix[:3, 3] = torch.tensor(u[5:]) * 5
    rgba = photo_like(mesh, camera, SeededRandom(seed), 2)
    picture = Image.fromarray((rgba.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy().copy())
    rotation = (camera.c2w[0, :3, :3].T @ upright)[None]
    record = {"up": WORLDS[world], "azimuth": azimuth, "elevation": elevation, "distance": distance}
    return _Shot(prepare(picture), mesh.transformed(matrix), rotation, record)


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share


def _judged(found: Registration, shot: _Shot) -> dict[str, Any]:
    error = angles_between(found.poses.rotations[:1], shot.rotation)
    return {"error": float(error[0, 0]), "found": found.to_dict()}
