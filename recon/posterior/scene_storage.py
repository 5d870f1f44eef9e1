"""A scene's posterior in one compressed NumPy file."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from recon.io.folders import atomic_write
from recon.posterior.scene_posterior import ScenePosterior

_FORMAT = "mvdiff-scene-posterior/1"


def save_scene_posterior(posterior: ScenePosterior, path: str | Path, coverage: float = 0.9) -> Path:
    """Write probabilities of space and intervals of depth.

    Arrays: ``occupied``, ``free`` and ``unknown`` [x y z], which sum to one; ``strata`` [x y z] (0 seen, 1 hidden,
    2 outside the photo, 3 far); ``origin`` [3] and ``cell`` of the grid in scene units; ``depth_low``,
    ``depth_median`` and ``depth_high`` [v h w], the median and the interval that holds the truth with probability
    ``coverage``; ``seen`` [v h w], rays whose surface the photo shows.
    """
    p, grid = posterior.probabilities, posterior.field.grid
    low, high = posterior.depth_interval(coverage)
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            format=np.array(_FORMAT),
            occupied=_half(p.occupied),
            free=_half(p.free),
            unknown=_half(p.unknown),
            strata=p.strata.numpy(),
            origin=grid.origin.numpy(),
            cell=np.float32(grid.cell),
            coverage=np.float32(coverage),
            depth_low=_half(low),
            depth_median=_half(posterior.log_depth.median(0).values.exp() * posterior.unit),
            depth_high=_half(high),
            seen=posterior.seen.numpy(),
        )
    return Path(path)


def _half(values: Float[Tensor, "*s"]) -> Float[np.ndarray, "*s"]:
    return values.cpu().half().numpy()
