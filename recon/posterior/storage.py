"""``posterior.npz``: plain arrays, no pickle."""

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from recon.cameras import Cameras
from recon.errors import InputError
from recon.io.bundle import atomic_write
from recon.mesh import TexturedMesh
from recon.posterior.grid import VoxelGrid
from recon.posterior.modes import Mode
from recon.posterior.posterior import Posterior
from recon.posterior.view_statistics import ViewStatistics

FILE = "posterior.npz"
_FORMAT = "mvdiff-posterior/1"
#: Cells: distances beyond are stored as this far, which no surface, shell or probability notices.
_TRUNCATION = 8.0
_MESHES = ("representative", "median")
_VIEWS = ("alpha_mean", "alpha_std", "rgb_mean", "rgb_std", "depth_mean", "depth_std")


def save_posterior(posterior: Posterior, folder: Path) -> Path:
    with atomic_write(folder / FILE) as temporary:
        write_posterior(posterior, temporary)
    return folder / FILE


def write_posterior(posterior: Posterior, path: Path) -> None:
    """The file itself; ``probability`` and ``entropy`` are in it for readers that know nothing of this package."""
    posterior = posterior.to("cpu")
    limit = _TRUNCATION * posterior.grid.spacing
    arrays = {
        "weights": posterior.weights,
        "fields": posterior.fields.clamp(-limit, limit).half(),
        "probability": posterior.probability.half(),
        "entropy": posterior.entropy.half(),
        "centre": posterior.grid.centre,
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
    header = {
        "format": _FORMAT,
        "extent": posterior.grid.extent,
        "coverage": posterior.coverage,
        "representative_index": posterior.representative_index,
        "seeds": posterior.seeds,
        "warnings": posterior.warnings,
        "modes": [vars(mode) for mode in posterior.modes],
    }
    np.savez_compressed(
        path,
        header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        **{name: value.contiguous().numpy() for name, value in arrays.items()},
    )


def load_posterior(path: Path) -> Posterior:
    path = path / FILE if path.is_dir() else path
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            if header["format"] != _FORMAT:
                raise InputError(f"'{path}' is a posterior of another version ({header['format']}): make it again.")
            arrays = {name: torch.as_tensor(file[name]) for name in file.files if name != "header"}
            return _assemble(header, {name: _full(value) for name, value in arrays.items()})
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist: give a posterior.npz or the folder that holds one.") from error
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"'{path}' is not a readable posterior: make it again.") from error


def _full(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value


def _assemble(header: dict, arrays: dict[str, torch.Tensor]) -> Posterior:
    views = None
    if "views.c2w" in arrays:
        height, width = arrays["views.alpha_mean"].shape[-2:]
        cameras = Cameras(arrays["views.c2w"], arrays["views.intrinsics"], width, height)
        views = ViewStatistics(**{name: arrays.get(f"views.{name}") for name in _VIEWS}, cameras=cameras)
    return Posterior(
        weights=arrays["weights"],
        fields=arrays["fields"],
        grid=VoxelGrid(arrays["centre"], header["extent"], arrays["fields"].shape[-1]),
        distances=arrays["distances"],
        modes=tuple(Mode(tuple(mode["members"]), mode["mass"], mode["medoid"]) for mode in header["modes"]),
        representative=_mesh(arrays, "representative"),
        median=_mesh(arrays, "median"),
        representative_index=header["representative_index"],
        coverage=header["coverage"],
        seeds=tuple(header["seeds"]),
        elevations=arrays["elevations"],
        residuals=arrays["residuals"],
        views=views,
        warnings=tuple(header["warnings"]),
    )


def _mesh_arrays(mesh: TexturedMesh) -> dict[str, torch.Tensor]:
    arrays = {name: getattr(mesh, name) for name in ("vertices", "faces", "colors", "uv", "texture")}
    arrays |= {f"attributes.{name}": value for name, value in mesh.attributes.items()}
    return {name: value for name, value in arrays.items() if value is not None}


def _mesh(arrays: dict[str, torch.Tensor], name: str) -> TexturedMesh:
    own = {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
    attributes = {k.removeprefix("attributes."): own.pop(k) for k in list(own) if k.startswith("attributes.")}
    return TexturedMesh(**own, attributes=attributes)
