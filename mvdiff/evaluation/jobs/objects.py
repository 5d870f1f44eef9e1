"""The objects that are known, and the fixed view of each that serves as the photo."""

import hashlib
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mvdiff.data.sources.meshes import MeshSource, find_all, procedural_sources
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.paths import is_folder
from recon.rendering import render_mesh

REFERENCE_SIZE = 256
REFERENCE_ELEVATIONS = (0.0, 30.0)
#: Seeds of procedural objects from here on serve to calibrate and to test; training's begin at 1,000,000 (less 16).
FIRST_PROCEDURAL = 900_000


@dataclass(frozen=True)
class View:
    """Camera of an object's reference photo, drawn from a hash of its name so that other objects do not matter."""

    azimuth: float
    elevation: float
    """Degrees."""
    seed: int
    """Seed of the hypotheses."""

    @staticmethod
    def of(name: str, seed: int) -> "View":
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        azimuth, elevation, own = (int.from_bytes(digest[i : i + 6], "big") for i in (0, 6, 12))
        low, high = REFERENCE_ELEVATIONS
        return View(360 * azimuth / 2**48, low + (high - low) * elevation / 2**48, own)


class ObjectSet:
    """Named meshes of folders or packs, in the order of their names; each is read when it is asked for."""

    def __init__(
        self, paths: Path | Sequence[Path], limit: int | None = None, holdout_every: int = 1, procedural: int = 0
    ) -> None:
        """``holdout_every`` selects what training would hold out; ``procedural`` objects are mixed in evenly."""
        paths = [paths] if isinstance(paths, Path) else list(paths)
        for path in paths:
            if not is_folder(path) and path.suffix != ".npz":
                raise InputError(f"'{path}' is neither a folder of meshes nor a mesh pack (.npz).")
        found = find_all(paths, holdout_every)
        generated = procedural_sources(range(FIRST_PROCEDURAL, FIRST_PROCEDURAL + procedural))
        self._sources = _mixed(found, generated)[:limit]
        self.names = [source.name for source in self._sources]
        self.procedural = {source.name for source in generated}.intersection(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def only(self, index: int) -> "ObjectSet":
        """That object alone."""
        one = copy(self)
        one._sources, one.names = self._sources[index : index + 1], self.names[index : index + 1]
        return one

    def mesh(self, index: int) -> TexturedMesh:
        """Centred, with radius 0.5; files with all their faces and their texture."""
        return self._sources[index].load(max_faces=None).normalized()


def photograph(mesh: TexturedMesh, view: View, size: int = REFERENCE_SIZE) -> Image.Image:
    """RGBA picture by the default lens, unlit (scans hold their light already), transparent background."""
    taken = render_mesh(mesh, Cameras.orbit([view.azimuth], view.elevation, size=size))
    rgba = torch.cat([taken.rgb[0, 0], taken.alpha[0, 0]])
    return Image.fromarray(np.ascontiguousarray((rgba.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu()))


def _mixed(first: Sequence[MeshSource], second: Sequence[MeshSource]) -> list[MeshSource]:
    """Interleave both lists evenly, in their own orders, so that any prefix holds its share of each."""
    placed = [((k + 0.5) / len(part), source) for part in (first, second) for k, source in enumerate(part)]
    return [source for _, source in sorted(placed, key=lambda pair: pair[0])]
