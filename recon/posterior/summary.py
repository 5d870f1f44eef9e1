"""The numbers of a posterior on one page, JSON-ready."""

import math
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from recon.core.grid import inside_volume
from recon.posterior.decomposition import by_side

if TYPE_CHECKING:
    from recon.posterior.posterior import Posterior


def summarize(posterior: "Posterior") -> dict[str, Any]:
    """Content of ``summary.json``: every statistic beside the definition that it is computed from."""
    spread = posterior.representative.attributes["uncertainty"]
    known = posterior.elevations[~posterior.elevations.isnan()]
    return {
        "num_hypotheses": len(posterior),
        "effective_size": posterior.effective_size,
        "weights": posterior.weights.tolist(),
        "seeds": list(posterior.seeds),
        "ambiguity": {
            "value": posterior.ambiguity,
            "meaning": "expected 1 - IoU of two different hypotheses: 0 the same solid, 1 nothing in common",
        },
        "diversity": posterior.diversity,
        "entropy": _entropy(posterior),
        "volume": {
            "mean": float(posterior.weights @ posterior.volumes),
            "median_shape": float(inside_volume(posterior.voted >= 0.5 - 1e-6, posterior.grid)),
            "ambiguous": posterior.ambiguous_volume(),
            "ambiguous_meaning": "volume that more than 5 % and less than 95 % of the hypotheses' weight holds inside",
        },
        "modes": [vars(mode) | {"members": list(mode.members)} for mode in posterior.modes],
        "grouping": posterior.grouping.to_dict(),
        "representative": {
            "index": posterior.representative_index,
            "mean_uncertainty": float(spread.mean()),
            "max_uncertainty": float(spread.max()),
            "interval_coverage": posterior.coverage,
        },
        "sides": None if posterior.seen is None else by_side(spread, posterior.seen),
        "decomposition": posterior.decomposition.to_dict(),
        "convergence": [each.to_dict() for each in posterior.convergence],
        "within": {"residual": mean_of_known(posterior.residuals)},
        "elevation": {
            "mean": mean_of_known(posterior.elevations),
            "std": float(known.std(correction=0)) if len(known) else None,
        },
        "calibration": calibration_record(posterior),
        "warnings": list(posterior.warnings),
    }


def calibration_record(posterior: "Posterior") -> dict[str, Any]:
    """The calibration that corrected the statements, and what it promises."""
    if posterior.calibration is None:
        text = "Not calibrated: probabilities, shells, bands and intervals are the raw votes of the hypotheses."
        return {"name": None, "statement": text}
    count, correction = posterior.calibration.at(posterior.effective_size)
    return {
        "name": posterior.calibration.name,
        "num_hypotheses": count,
        "coverage": posterior.coverage,
        "levels": list(correction.band.levels),
        "held_out": posterior.calibration.held_out.get(str(count)),
        "provenance": dict(posterior.calibration.provenance),
        "statement": posterior.calibration.statement(count, posterior.coverage),
    }


def _entropy(posterior: "Posterior") -> dict[str, Any]:
    filled = posterior.voted > 0
    return {
        "bits_per_voxel": float(posterior.entropy[filled].mean()) if bool(filled.any()) else 0.0,
        "bit_volume": float(posterior.entropy.sum()) * posterior.grid.cell_volume,
        "bits": float(posterior.entropy.sum()),
        "voxels_per_side": posterior.grid.resolution,
        "meaning": (
            "binary entropy of the probability of inside: bits_per_voxel is its mean over the cells that any "
            "hypothesis fills, bits its sum over the grid, bit_volume that sum times the volume of a cell"
        ),
    }


def mean_of_known(values: Float[Tensor, "n"]) -> float | None:
    """Mean without NaN; None if nothing is known."""
    mean = float(values.nanmean())
    return None if math.isnan(mean) else mean
