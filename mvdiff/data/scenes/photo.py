"""Photo-like pictures of procedural scenes, for demonstrations."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import tyro

from mvdiff.data.scenes.make import KINDS, make_scene
from mvdiff.data.scenes.record import Role, SceneConfig, record_scene
from mvdiff.data.scenes.scene import Split
from recon.core.errors import InputError
from recon.io.folders import atomic_write


@dataclass(frozen=True)
class TakeScenePhoto:
    kind: tyro.conf.Positional[str]
    """Kind of scene: room, flat, corridor, hidden_room, street, courtyard or terrain."""
    output: tyro.conf.Positional[Path]
    """The .png file to write."""
    seed: int = 0
    """Seed of the scene and of the place where its photo is taken."""
    split: Split = "held_out"
    """Split of the scene; the network was trained on train alone."""
    size: int = 512
    """Side of the picture in pixels."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.kind not in KINDS:
            raise InputError(f"There is no kind of scene '{self.kind}': choose one of {', '.join(KINDS)}.")
        if self.split not in get_args(Split):
            raise InputError(f"The split is one of {', '.join(get_args(Split))}, not '{self.split}'.")
        if self.output.suffix.lower() != ".png":
            raise InputError(f"The output is a .png file, not '{self.output}'.")


def take_scene_photo(config: TakeScenePhoto) -> Path:
    """Write the first photo of a scene's record; the same settings give the same picture."""
    from PIL import Image

    config.check()
    scene = make_scene(config.kind, config.seed, config.split)
    record = record_scene(scene, config.seed, SceneConfig(size=config.size, places=1, paths=0))
    picture = record.rgba[list(record.role).index(Role.PHOTO), :3].transpose(1, 2, 0)
    with atomic_write(config.output) as temporary:
        Image.fromarray(picture).save(temporary, optimize=True)
    return config.output
