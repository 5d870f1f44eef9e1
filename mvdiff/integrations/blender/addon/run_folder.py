"""Reading of a run's folder. Free of bpy, so that it is tested outside of Blender."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Vertical field of view of a view camera in degrees, and its distance from the origin.
_DEFAULT_FOV, _DEFAULT_DISTANCE = 40.0, 1.5
#: Radius of the bounding sphere of every object.
_RADIUS = 0.5


class RunError(Exception):
    """The folder cannot be used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class OrbitCamera:
    """A camera aimed at the origin, and the square of its picture that is kept."""

    azimuth: float
    """Degrees; 0 is the photo's direction, positive counter-clockwise seen from above."""
    elevation: float
    distance: float = _DEFAULT_DISTANCE
    fov: float = _DEFAULT_FOV
    """Field of view of the square in degrees."""
    center: tuple[float, float] = (0.0, 0.0)
    """Projection of the origin: -1 (left, top) to 1 (right, bottom)."""

    @property
    def position(self) -> tuple[float, float, float]:
        """In Blender's world: +Z up, the photographed side faces -Y."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        across = math.cos(elevation) * self.distance
        return math.sin(azimuth) * across, -math.cos(azimuth) * across, math.sin(elevation) * self.distance


@dataclass(frozen=True)
class Mode:
    members: tuple[int, ...]
    mass: float


@dataclass(frozen=True)
class Run:
    """The part of a finished run that the add-on shows."""

    folder: Path
    modes: tuple[Mode, ...]
    """Heaviest first."""
    weights: tuple[float, ...]
    representative: int
    photo_cameras: tuple[OrbitCamera, ...]
    """Camera of the photo in each hypothesis."""
    next_view: OrbitCamera | None
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.name

    def mesh(self, index: int) -> Path:
        return self.folder / f"hypotheses/{index:03d}.glb"

    @property
    def median(self) -> Path:
        return self.folder / "posterior.glb"

    @property
    def photo(self) -> Path:
        return self.folder / "reference.png"


def read_run(folder: Path) -> Run:
    """Read a complete run.

    Raises:
        RunError: there is none, it is not complete, or its meshes are not GLB files.
    """
    if not (folder / "manifest.json").is_file():
        raise RunError(f"'{folder}' holds no run: choose the output folder of mvdiff generate.")
    if not _read(folder / "manifest.json").get("complete"):
        raise RunError(f"The run in '{folder}' is not complete: run its command again to go on.")
    if not (folder / "summary.json").is_file() or not (folder / "hypotheses").is_dir():
        raise RunError(f"'{folder}' holds no hypotheses of an object: choose the output folder of mvdiff generate.")
    run = _run_of(folder)
    missing = next((index for index in range(len(run.weights)) if not run.mesh(index).is_file()), None)
    if missing is not None:
        raise RunError(f"'{run.mesh(missing)}' is missing: generate with --format glb.")
    return run


def _run_of(folder: Path) -> Run:
    summary = _read(folder / "summary.json")
    try:
        return Run(
            folder=folder,
            modes=tuple(Mode(tuple(mode["members"]), mode["mass"]) for mode in summary["modes"]),
            weights=tuple(summary["weights"]),
            representative=summary["representative"]["index"],
            photo_cameras=tuple(_photo_camera(folder, index) for index in range(summary["num_hypotheses"])),
            next_view=_next_view(folder / "next_view.json"),
            warnings=tuple(summary["warnings"]),
        )
    except (KeyError, TypeError, IndexError) as error:
        raise RunError(f"The run in '{folder}' cannot be read: its record lacks {error}.") from error


def _photo_camera(folder: Path, index: int) -> OrbitCamera:
    record = _read(folder / f"views/{index:03d}/photo_camera.json")
    focal = math.exp(record["log_scale"]) * record["distance"] / _RADIUS  # in half widths of the square
    fov = math.degrees(2 * math.atan(1 / focal))
    center = record["centre_x"], record["centre_y"]
    return OrbitCamera(record["azimuth"], record["elevation"], record["distance"], fov, center)


def _next_view(path: Path) -> OrbitCamera | None:
    if not path.is_file():
        return None
    best = _read(path)["views"][0]
    return OrbitCamera(best["azimuth"], best["elevation"])


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"'{path}' cannot be read ({error}): run the command that made this run again.") from error
