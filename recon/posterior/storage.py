"""``posterior.npz`` and hypotheses on disk: plain arrays, no pickle."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import torch
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.core.paths import is_folder
from recon.core.reading import check_finite, checked, fit, parse_json, read_npz, reading
from recon.io.folders import atomic_write
from recon.metrics.distances import SPREAD_LIMIT
from recon.posterior.calibration import CERTAIN_DEPTH, Calibration
from recon.posterior.hypothesis import Hypothesis
from recon.posterior.modes import Mode
from recon.posterior.posterior import Posterior
from recon.posterior.view_statistics import ViewStatistics

Noun = TypeVar("Noun")

FILE = "posterior.npz"
_FORMAT = "mvdiff-posterior/2"
_HYPOTHESIS_FORMAT = "mvdiff-hypothesis/1"
_NUMBERS = ("extent", "seed", "weight", "elevation", "residual")
_MESHES = ("representative", "median")
_VIEWS = ("alpha_mean", "alpha_std", "rgb_mean", "rgb_std", "depth_mean", "depth_std", "normal_mean", "normal_spread")

_Extent = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


class _Header(msgspec.Struct, frozen=True):
    """Header of a posterior's file."""

    extent: _Extent
    coverage: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    representative_index: Annotated[int, msgspec.Meta(ge=0)]
    seeds: tuple[int, ...]
    warnings: tuple[str, ...]
    modes: tuple[Mode, ...]
    calibration: dict[str, Any] | None


class _Numbers(msgspec.Struct, frozen=True):
    """Header of a hypothesis' file."""

    extent: _Extent
    seed: int
    weight: Annotated[float, msgspec.Meta(gt=0)]
    elevation: float | None
    residual: float | None


def save_posterior(posterior: Posterior, folder: str | Path) -> Path:
    """Write ``posterior.npz`` into ``folder``, which is created; returns the file."""
    folder = Path(folder)
    with atomic_write(folder / FILE) as temporary:
        write_posterior(posterior, temporary)
    return folder / FILE


def write_posterior(posterior: Posterior, path: Path) -> None:
    """The file itself; ``probability`` and ``entropy`` are in it for readers that know nothing of this package."""
    posterior = posterior.to("cpu")
    # Distances beyond are stored as this far: no surface, shell, band or probability depends on more.
    limit = max(SPREAD_LIMIT * posterior.grid.spacing, CERTAIN_DEPTH)
    arrays = {
        "weights": posterior.weights,
        "fields": posterior.fields.clamp(-limit, limit).half(),
        "probability": posterior.probability.half(),
        "entropy": posterior.entropy.half(),
        "centre": posterior.grid.center,
        "distances": posterior.distances,
        "elevations": posterior.elevations,
        "residuals": posterior.residuals,
    }
    for name in _MESHES:
        arrays |= {f"{name}.{key}": value for key, value in _mesh_arrays(getattr(posterior, name)).items()}
    if posterior.views is not None:
        views = posterior.views
        pictures = {name: getattr(views, name) for name in _VIEWS}
        arrays |= {f"views.{name}": value.half() for name, value in pictures.items() if value is not None}
        arrays |= {"views.c2w": views.cameras.c2w, "views.intrinsics": views.cameras.intrinsics}
        if views.cameras.orthographic is not None:
            arrays["views.orthographic"] = views.cameras.orthographic
    header = {
        "format": _FORMAT,
        "extent": posterior.grid.extent,
        "coverage": posterior.coverage,
        "representative_index": posterior.representative_index,
        "seeds": posterior.seeds,
        "warnings": posterior.warnings,
        "modes": [vars(mode) for mode in posterior.modes],
        "calibration": None if posterior.calibration is None else posterior.calibration.to_dict(),
    }
    _write(path, header, arrays)


def load_posterior(path: str | Path) -> Posterior:
    """Read a posterior from its file or from the folder that holds it.

    Raises:
        InputError: there is none, it is damaged, or another version wrote it.
    """
    path = Path(path)
    return _read(path / FILE if is_folder(path) else path, _FORMAT, "posterior", _assemble)


def save_hypothesis(hypothesis: Hypothesis, path: str | Path) -> Path:
    """Write all but ``views``, which have a file of their own, as one ``.npz``."""
    path = Path(path)
    hypothesis = hypothesis.to("cpu")
    arrays = {f"mesh.{key}": value for key, value in _mesh_arrays(hypothesis.mesh).items()}
    if hypothesis.sdf is not None:
        arrays["sdf"] = hypothesis.sdf
    header = {"format": _HYPOTHESIS_FORMAT} | {name: getattr(hypothesis, name) for name in _NUMBERS}
    with atomic_write(path) as temporary:
        # Kept for a short time only, and its floats are noise to a compressor: it would take longer than the posterior.
        _write(temporary, header, arrays, zipfile.ZIP_STORED)
    return path


def load_hypothesis(path: str | Path) -> Hypothesis:
    """Read a hypothesis that :func:`save_hypothesis` wrote.

    Raises:
        InputError: there is none, it is damaged, or another version wrote it.
    """

    def assemble(header: dict, arrays: dict[str, Tensor]) -> Hypothesis:
        numbers = fit({name: header[name] for name in _NUMBERS}, _Numbers)
        return checked(Hypothesis(_mesh(arrays, "mesh"), arrays.get("sdf"), **msgspec.structs.asdict(numbers)))

    return _read(Path(path), _HYPOTHESIS_FORMAT, "hypothesis", assemble)


def _write(path: Path, header: dict, arrays: dict[str, Tensor], compression: int = zipfile.ZIP_DEFLATED) -> None:
    """As ``np.savez_compressed``, but for its level: 6 makes files 4 % smaller in twice the time."""
    values = {name: value.contiguous().numpy() for name, value in arrays.items()}
    values = {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **values}
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as file:
        for name, value in values.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, value, allow_pickle=False)


def _read(path: Path, form: str, noun: str, assemble: Callable[[dict, dict[str, Tensor]], Noun]) -> Noun:
    with reading(path, noun, "make it again"):
        arrays = {name: torch.as_tensor(value) for name, value in read_npz(path).items()}
        header = parse_json(arrays.pop("header").numpy().tobytes(), dict[str, Any])
        if header["format"] != form:
            raise InputError(f"'{path}' {_other(str(header['format']), form)}")
        return assemble(header, {name: _full(value) for name, value in arrays.items()})


def _other(found: str, form: str) -> str:
    """Remedy for a file of format ``found`` where ``form`` is expected."""
    (kind, _, number), (own, _, current) = found.partition("/"), form.partition("/")
    if kind == own and number.isdigit() and int(number) < int(current):
        return "was made by an earlier version: run the same generate command again with --overwrite."
    return f"is of another version ({found}): make it again."


def _full(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _assemble(header: dict, arrays: dict[str, Tensor]) -> Posterior:
    views = None
    if "views.c2w" in arrays:
        height, width = arrays["views.alpha_mean"].shape[-2:]
        flat = arrays.get("views.orthographic")
        cameras = Cameras(arrays["views.c2w"], arrays["views.intrinsics"], width, height, flat)
        statistics: dict[str, Any] = {name: arrays.get(f"views.{name}") for name in _VIEWS}
        views = checked(ViewStatistics(**statistics, cameras=checked(cameras)))
    found = fit(header, _Header)
    posterior = Posterior(
        weights=arrays["weights"],
        fields=arrays["fields"],
        grid=checked(VoxelGrid(arrays["centre"], found.extent, arrays["fields"].shape[-1])),
        distances=arrays["distances"],
        modes=found.modes,
        representative=_mesh(arrays, "representative"),
        median=_mesh(arrays, "median"),
        representative_index=found.representative_index,
        coverage=found.coverage,
        seeds=found.seeds,
        elevations=arrays["elevations"],
        residuals=arrays["residuals"],
        views=views,
        warnings=found.warnings,
        calibration=None if found.calibration is None else Calibration.from_dict(found.calibration),
    )
    check_finite({name: getattr(posterior, name) for name in ("weights", "fields", "distances")})
    places = {found.representative_index, *(k for mode in found.modes for k in (mode.medoid, *mode.members))}
    if not len(found.seeds) == len(posterior.weights) > max(places) or not found.modes:
        raise ValueError("it names hypotheses that it does not hold")
    return checked(posterior)


def _mesh_arrays(mesh: TexturedMesh) -> dict[str, Tensor]:
    arrays = {name: getattr(mesh, name) for name in ("vertices", "faces", "colors", "uv", "texture")}
    arrays |= {f"attributes.{name}": value for name, value in mesh.attributes.items()}
    return {name: value for name, value in arrays.items() if value is not None}


def _mesh(arrays: dict[str, Tensor], name: str) -> TexturedMesh:
    own = {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
    attributes = {k.removeprefix("attributes."): own.pop(k) for k in list(own) if k.startswith("attributes.")}
    mesh = checked(TexturedMesh(**own, attributes=attributes))
    if len(mesh) and not 0 <= int(mesh.faces.min()) <= int(mesh.faces.max()) < len(mesh.vertices):
        raise ValueError(f"the faces of {name} name vertices that it does not have")
    if any(len(value) != len(mesh.vertices) for value in attributes.values()):
        raise ValueError(f"the attributes of {name} are not one for each vertex")
    return mesh
