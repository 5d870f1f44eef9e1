"""What ``mvdiff data import`` can be told; nothing heavy is imported, so that its help is there at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.data.render.record import RecordConfig


@dataclass
class ImportPhotos:
    """Which photo sets become a data set, and how."""

    photos: tyro.conf.Suppress[tuple[Path, ...]] = ()
    """transforms.json files (or their folders), or saved ViewSets; one for each object."""
    output: tyro.conf.Suppress[Path] = Path("views")
    up: Literal["z_up", "y_up"] = "z_up"
    """Which way is up in the cameras' world; z in nerfstudio and Blender."""
    licence: str | None = None
    """Of all the photos."""
    variants: int = 1
    """Records of each set, which differ in the photos they choose."""
    seed: int = 0
    size: int = 128
    """Pixels of a picture's side."""
    ring_views: int = 18
    """Views around the object, a multiple of 6."""
    references: int = 6
    """Photos that serve as the reference."""
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
