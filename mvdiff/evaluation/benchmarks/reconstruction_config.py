"""Settings of the reconstruction benchmark. Free of torch, so that the script's help stays fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mvdiff.sampling.settings import SamplingConfig
from recon.core.errors import InputError


@dataclass(frozen=True)
class ReconstructionBenchmarkConfig(SamplingConfig):
    meshes: Path | None = None
    """Folder of meshes or a mesh pack; by default eight procedural objects."""
    limit: int | None = None
    """Number of objects to take, from the first; all by default."""
    source: Literal["true", "inconsistent", "sampled"] = "true"
    """Views of the mesh itself; the same with the errors that sampled views have; or views that the model samples
    from one picture of it."""
    views: int = 6
    """Up to 6: the default rig's; more: a ring, elevations in turn 20 and -10 degrees. Sampling has its own rig."""
    size: int = 128
    """Pixels along each side of a view."""
    channels: Literal["all", "rgba"] = "all"
    """rgba: without depth and normals."""
    preset: str = "default"
    device: str = "auto"
    num_hypotheses: tuple[int, ...] = (1, 8, 32)
    """Reconstructed at once for the cost, of the first object's views; pass 0 to measure quality alone."""
    repeats: int = 3
    """Number of timed repeats after one warm-up, of which the median is reported."""
    quality: bool = True
    """Score every object; otherwise only the cost is measured."""
    closed_form: bool = True
    """Also score the closed form alone."""
    weights: str = "embedded"
    """Weights of the model that samples."""
    sampled: int = 2
    """Hypotheses sampled of each object."""
    cache: Path | None = None
    """Folder that keeps sampled views from one run to the next."""
    output: Path | None = None
    """JSON; a table of the same name goes beside it."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        super().check()
        if self.views < 2 or self.size < 8:
            raise InputError("The benchmark needs --views of at least 2 and --size of at least 8 pixels.")
        if self.limit is not None and self.limit < 1:
            raise InputError("Pass --limit of at least 1, or leave it out.")
        if self.repeats < 1:
            raise InputError("Benchmarks need --repeats of at least 1.")
        if self.sampled < 1 or any(count < 0 for count in self.num_hypotheses):
            raise InputError("Numbers of hypotheses start at 1.")
        if self.output is not None and self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")
