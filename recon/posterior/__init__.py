"""What N sampled objects say together about the one that was photographed."""

from recon.core.grid import VoxelGrid
from recon.posterior.calibration import Calibration
from recon.posterior.hypothesis import Hypothesis
from recon.posterior.modes import Mode, ModesConfig, find_modes
from recon.posterior.posterior import Posterior, PosteriorConfig
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
]
