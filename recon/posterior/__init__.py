"""Posterior over the shape in a photo, inferred from N sampled objects."""

from recon.core.grid import VoxelGrid
from recon.posterior.calibration import Calibration
from recon.posterior.hypothesis import Hypothesis
from recon.posterior.modes import Mode, ModesConfig, find_modes
from recon.posterior.posterior import Posterior, PosteriorConfig
from recon.posterior.storage import load_hypothesis, load_posterior, save_hypothesis, save_posterior
from recon.posterior.view_statistics import ViewStatistics

__all__ = [
    "Calibration",
    "Hypothesis",
    "Mode",
    "ModesConfig",
    "Posterior",
    "PosteriorConfig",
    "ViewStatistics",
    "VoxelGrid",
    "find_modes",
    "load_hypothesis",
    "load_posterior",
    "save_hypothesis",
    "save_posterior",
]
