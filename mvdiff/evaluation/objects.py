"""The objects that are known, and the fixed view of each that serves as the photo."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mvdiff.data.meshes import find_meshes
from recon.cameras import Cameras
from recon.errors import InputError
from recon.mesh import TexturedMesh
from recon.rendering import render_mesh

REFERENCE_SIZE = 256
REFERENCE_ELEVATIONS = (0.0, 30.0)


@dataclass(frozen=True)
class View:
    """Where the reference of an object is taken from; a hash of its name, so that no other object matters."""

    azimuth: float
    elevation: float
    """Degrees."""
    seed: int
    """Of the hypotheses."""

    @staticmethod
    def of(name: str, seed: int) -> "View":
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        azimuth, elevation, own = (int.from_bytes(digest[i : i + 6], "big") for i in (0, 6, 12))
        low, high = REFERENCE_ELEVATIONS
        return View(360 * azimuth / 2**48, low + (high - low) * elevation / 2**48, own)


class ObjectSet:
    """Named meshes of a folder or a pack, in the order of their names; each is read when it is asked for."""

    def __init__(self, path: Path, limit: int | None = None) -> None:
        if not path.is_dir() and path.suffix != ".npz":
            raise InputError(f"'{path}' is neither a folder of meshes nor a mesh pack (.npz).")
        self._sources = find_meshes(path)[:limit]
        self.names = [source.name for source in self._sources]

    def __len__(self) -> int:
        return len(self.names)

    def mesh(self, index: int) -> TexturedMesh:
        """Centred, with radius 0.5; files with all their faces and their texture."""
        return self._sources[index].load(max_faces=None).normalized()


def photograph(mesh: TexturedMesh, view: View, size: int = REFERENCE_SIZE) -> Image.Image:
    """RGBA picture by the default lens, unlit (scans hold their light already), transparent background."""
    taken = render_mesh(mesh, Cameras.orbit([view.azimuth], view.elevation, size=size))
    rgba = torch.cat([taken.rgb[0, 0], taken.alpha[0, 0]])
    return Image.fromarray(np.ascontiguousarray((rgba.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu()))
