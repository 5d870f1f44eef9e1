"""Settings of ``mvdiff data render``; free of heavy imports, so that its help stays fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.data.render.record import RecordConfig


@dataclass
class RenderDataset:
    """Objects to render, and the settings of their images."""

    meshes: tyro.conf.Suppress[tuple[Path, ...]] = ()
    """Folders of meshes (GLB, glTF, OBJ, PLY, STL …), single meshes or mesh packs (.npz)."""
    output: tyro.conf.Suppress[Path] = Path("views")
    """Folder of the data set."""
    credits: Path | None = None
    """CSV or JSONL file of licenses: a column name (or id, or file) and any of license, creator, source."""
    procedural: int = 0
    """Number of procedural objects beside the meshes."""
    procedural_seed: int = 1_000_000
    """Seed of the first procedural object."""
    variants: int = 1
    """Records of each mesh; all but the first are warped."""
    seed: int = 0
    """Seed of cameras, lights and warps."""
    size: int = 128
    """Size of an image in pixels."""
    supersample: int = 2
    """Rays along each side of a pixel, for antialiasing."""
    ring_views: int = 18
    """Number of delit views around the object, a multiple of 6."""
    references: int = 6
    """Number of photo-like reference images, each with a delit view of its own direction."""
    device: str = "auto"
    """Device to render on: auto, cpu or cuda."""
    workers: int = 0
    """Worker processes; 0 renders in this process."""
    overwrite: bool = False
    """Replace a data set of other objects or settings."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        least = {"procedural": 0, "procedural_seed": 0, "variants": 1, "workers": 0, "seed": 0}
        least |= {"size": 16, "supersample": 1, "ring_views": 6, "references": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name.replace('_', '-')} is at least {low}, not {getattr(self, name)}.")
        most = {"procedural": 10**7, "variants": 10**5, "workers": 1024, "size": 4096, "supersample": 16}
        most |= {"ring_views": 600, "references": 1000, "seed": 2**53, "procedural_seed": 2**53}
        for name, high in most.items():
            if getattr(self, name) > high:
                raise InputError(f"--{name.replace('_', '-')} is at most {high}, not {getattr(self, name)}.")
        if self.ring_views % 6:
            raise InputError(f"--ring-views is a multiple of 6, not {self.ring_views}.")
        if not self.meshes and not self.procedural:
            raise InputError("There is nothing to render: name meshes or mesh packs, or pass --procedural.")

    @property
    def record(self) -> "RecordConfig":
        from mvdiff.data.render.record import RecordConfig

        return RecordConfig(
            size=self.size, supersample=self.supersample, ring_views=self.ring_views, references=self.references
        )
