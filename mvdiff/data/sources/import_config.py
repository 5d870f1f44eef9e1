"""Settings of ``mvdiff data import``; free of heavy imports, so that its help stays fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.data.render.record import RecordConfig


@dataclass
class ImportPhotos:
    """Photo sets to import, and the settings of their images."""

    photos: tyro.conf.Suppress[tuple[Path, ...]] = ()
    """One transforms.json (or its folder), or one saved ViewSet, per object."""
    output: tyro.conf.Suppress[Path] = Path("views")
    """Folder of the data set."""
    up: Literal["z_up", "y_up"] = "z_up"
    """Up axis of the cameras' world; z_up in nerfstudio and Blender."""
    licence: str | None = None
    """License of all the photos."""
    variants: int = 1
    """Records per set, which differ in their choice of photos."""
    seed: int = 0
    """Seed of the choice of photos and of their augmentation."""
    size: int = 128
    """Size of an image in pixels."""
    ring_views: int = 18
    """Number of views around the object, a multiple of 6."""
    references: int = 6
    """Number of photos that serve as references."""
    overwrite: bool = False
    """Replace what is in the folder."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        for name, low in {"variants": 1, "seed": 0, "size": 16, "ring_views": 6, "references": 1}.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name.replace('_', '-')} is at least {low}, not {getattr(self, name)}.")
        if self.ring_views % 6:
            raise InputError(f"--ring-views is a multiple of 6, not {self.ring_views}.")
        if not self.photos:
            raise InputError("Name the transforms.json of each object and, last, the folder of the data set.")

    @property
    def record(self) -> "RecordConfig":
        from mvdiff.data.render.record import RecordConfig

        return RecordConfig(size=self.size, ring_views=self.ring_views, references=self.references)
