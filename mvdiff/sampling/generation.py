"""Settings of one generation. Free of torch, so that the command line's help stays fast."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import tyro

from mvdiff.sampling.settings import UNRECORDED, SamplingConfig, check_count
from recon.core.errors import InputError

#: JSON readers keep whole numbers below this.
MAX_SEED = 2**53

Framing = Literal["recentre", "keep"]
Weighting = Literal["uniform", "photo"]
#: Names that :meth:`recon.ReconstructionConfig.preset` takes.
Preset = Literal["fast", "default", "quality"]
#: Precision of networks by name; "auto" is the fast one of the device.
Precision = Literal["auto", "fp32", "fp16", "bf16"]
#: A switch that is on unless ``--no-matting`` is passed; its help describes that flag.
Matting = Annotated[
    bool,
    tyro.conf.arg(
        help="Use the photo as it is, with its background, even if it has no transparency.",
        help_behavior_hint="(default: the object is cut out)",
    ),
]
FileFormat = Literal["glb", "ply", "obj"]


@dataclass(frozen=True)
class GenerationConfig(SamplingConfig):
    num_hypotheses: int | Literal["auto"] = 8
    """Number of objects to sample; "auto" draws 4, 8, 16 or 32, until its standard error is below the tolerance."""
    tolerance: float = 0.08
    """Largest standard error (root mean square) of the occupancy at which an "auto" number of hypotheses suffices."""
    seed: int = 0
    """Seed of the run. Hypothesis k has a seed of its own that does not depend on the number of hypotheses."""
    elevation: float | None = None
    """Elevation of the photo's camera in degrees above the horizon, if known; else each hypothesis draws its own."""
    matting: Matting = True
    """Cut the object out of a photo without transparency."""
    framing: Framing = "recentre"
    """Framing of the photo. "recentre" suits any photo; "keep" assumes an uncropped frame, 40° wide, aimed at the
    object."""
    coverage: float = 0.9
    """Share of the true surface that the stated band and intervals are to hold."""
    weighting: Weighting = "uniform"
    """Weights of the hypotheses: "uniform", or by their agreement with the "photo"."""
    format: FileFormat = "glb"
    """Mesh format of the hypotheses."""

    @property
    def count(self) -> int:
        """Number of hypotheses as a number. Raises :class:`InputError` for "auto", which a run resolves."""
        if isinstance(self.num_hypotheses, str):
            raise InputError('num_hypotheses="auto" needs reconstructed shapes: pass a number.')
        return self.num_hypotheses

    @staticmethod
    def from_manifest(values: dict[str, Any]) -> "GenerationConfig":
        """As a manifest has it: JSON knows no tuples."""
        prior = values.get("elevation_prior")
        return GenerationConfig(**UNRECORDED | values | {"elevation_prior": None if prior is None else tuple(prior)})

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        super().check()
        if not 0 < self.tolerance < 1:
            raise InputError(f"The tolerance lies between 0 and 1, not {self.tolerance}.")
        if self.num_hypotheses != "auto":
            check_count("hypotheses", self.num_hypotheses, 1024)
        if not 0 <= self.seed < MAX_SEED:
            raise InputError(f"The seed is a number from 0 to {MAX_SEED - 1}, not {self.seed}.")
        if self.elevation is not None and not -90 <= self.elevation <= 90:
            raise InputError(f"The elevation lies between -90 and 90 degrees, not {self.elevation}.")
        if not 0 < self.coverage < 1:
            raise InputError(f"The coverage lies between 0 and 1, not {self.coverage}.")
        for name, value, known in (
            ("format", self.format, FileFormat),
            ("framing", self.framing, Framing),
            ("weighting", self.weighting, Weighting),
        ):
            if value not in get_args(known):
                raise InputError(f"The {name} is one of {', '.join(get_args(known))}, not '{value}'.")
