"""Settings of ``mvdiff data render-scenes``; nothing heavy is imported, so that its help is there at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.data.scenes.record import SceneConfig

Kind = Literal["room", "flat", "hidden_room", "corridor", "street", "courtyard", "terrain"]


@dataclass(frozen=True)
class RenderScenes:
    """Scenes to render, and the settings of their images."""

    output: tyro.conf.Positional[Path]
    """Folder of the data set."""
    scenes: int = 64
    """Number of scenes."""
    seed: int = 0
    """Seed of the first scene; the others have the following ones."""
    kind: Kind | None = None
    """One kind of scene; by default the usual mixture of all."""
    split: Literal["train", "validation", "held_out"] = "train"
    """Disjoint scenes: train, validation (same ranges of all parameters) or held_out (ranges beyond those)."""
    packs: tuple[Path, ...] = ()
    """Mesh packs (.npz) whose furniture, cars and trees stand among the procedural ones."""
    size: int = 128
    """Pixels of a picture's side."""
    places: int = 2
    """Places in each scene where photos are taken, each with a sphere of eight views."""
    photos: int = 1
    """Photos at each place."""
    paths: int = 5
    """Further views around each place."""
    workers: int = 0
    """Processes; 0 works in this one."""
    sheet: int = 64
    """Scenes on the contact sheet."""
    overwrite: bool = False
    """Replace a data set of other scenes or settings."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        least = {"scenes": 1, "seed": 0, "size": 16, "places": 1, "photos": 1, "paths": 0, "workers": 0, "sheet": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name} is at least {low}, not {getattr(self, name)}.")

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.scenes)

    @property
    def record(self) -> "SceneConfig":
        from mvdiff.data.scenes.record import SceneConfig

        return SceneConfig(self.size, self.places, self.photos, self.paths)
