"""Options of backbones that are networks of their own: features for registration, and a painter."""

from pathlib import Path

from mvdiff.backbones.painting import Painter
from mvdiff.backbones.registry import REGISTERING, load_sampler


def load_painter(choice: str, device: str) -> Painter:
    """The painter that ``choice`` names, as NAME or NAME:FOLDER of its weights.

    Raises:
        InputError: there is no such backbone, its weights are missing, or it cannot paint.
    """
    name, _, folder = choice.partition(":")
    return Painter(load_sampler(name, weights=folder or "embedded", device=device))


def registration_features(backbone: str, features: str | Path | None, of_other_use: bool = False) -> str | Path | None:
    """``features`` as an option of a backbone's loader; one that does not register takes none.

    With ``of_other_use`` they are left out for such a backbone, as something else than registration reads them.
    """
    return None if of_other_use and backbone not in REGISTERING else features
