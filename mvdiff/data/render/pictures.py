"""Photo-like pictures of procedural objects, for demonstrations."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.procedural import FAMILIES, ProceduralObject, make, remake
from mvdiff.data.render.lighting import Light
from mvdiff.data.warp import SeededRandom
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import atomic_write
from recon.rendering.shade import Surface, average


@dataclass
class TakePicture:
    family: tyro.conf.Positional[str]
    """Family of procedural objects."""
    output: tyro.conf.Positional[Path]
    """The .png file to write: RGBA, straight alpha."""
    seed: int = 0
    """Seed of the object."""
    hidden: str = "drawn"
    """Value of the object's hidden attribute: "drawn" by its seed, "absent", or a value (an angle, a color, …)."""
    azimuth: float = 0.0
    elevation: float = 20.0
    """Elevation of the camera in degrees above the horizon."""
    light_seed: int = 0
    size: int = 512
    supersample: int = 4

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.family not in FAMILIES:
            raise InputError(f"There is no family '{self.family}': choose one of {', '.join(sorted(FAMILIES))}.")
        if not 16 <= self.size <= 8192 or not 1 <= self.supersample <= 16:
            raise InputError("--size is from 16 to 8192 and --supersample from 1 to 16.")
        if self.output.suffix.lower() != ".png":
            raise InputError(f"The output is a .png file, not '{self.output}'.")


def take_picture(config: TakePicture) -> Path:
    """Write the picture; the same config gives the same picture."""
    from PIL import Image

    config.check()
    thing = make(config.seed, config.family)
    if config.hidden != "drawn":
        try:
            thing = remake(thing, _hidden_value(thing, config.hidden))
        except ValueError as error:
            raise InputError(f"--hidden {config.hidden} does not fit: {error}") from error
    cameras = Cameras.orbit([config.azimuth], config.elevation, size=config.size)
    rgba = photo_like(thing.mesh, cameras, SeededRandom(config.light_seed), config.supersample)
    with atomic_write(config.output) as temporary:
        Image.fromarray((rgba.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()).save(temporary, optimize=True)
    return config.output


def _hidden_value(thing: ProceduralObject, text: str) -> Any:
    if thing.hidden is None or text == "absent":
        return None
    kinds = {"count": int, "choice": str}
    return kinds.get(thing.hidden.kind, float)(text)


def photo_like(mesh: TexturedMesh, cameras: Cameras, dice: SeededRandom, supersample: int) -> Float[Tensor, "4 h w"]:
    """RGBA of the first camera, lit as training's references are."""
    fine = cameras.resized(cameras.width * supersample, cameras.height * supersample)
    points = Surface(mesh).points(fine)
    return average([Light.draw(fine, dice)(points, fine)], points, supersample)[0]
