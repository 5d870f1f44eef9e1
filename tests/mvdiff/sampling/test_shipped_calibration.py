"""The calibration beside the embedded weights, as the code reads it."""

from pathlib import Path

import pytest
import torch

import mvdiff
from mvdiff.sampling.calibrations import Calibrations, read_calibrations, settings_of
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.weights.packing import weights_hash
from recon.core.grid import VoxelGrid
from recon.fusion.tsdf import FuseConfig
from recon.objects import ReconstructionConfig
from recon.posterior import Calibration, Hypothesis, Posterior, PosteriorConfig

FOLDER = Path(mvdiff.__file__).parent / "weights" / "embedded"
GRID = VoxelGrid(torch.zeros(3), 0.55, 40)
FOUND, OWNER = read_calibrations(FOLDER / "calibration.json")


def unanimous(calibration: Calibration, count: int) -> Posterior:
    """Balls of radius 0.45 on which all hypotheses agree."""
    field = GRID.points().norm(dim=-1) - 0.45
    hypotheses = [Hypothesis(GRID.surface(field), field, GRID.extent, residual=0.01) for _ in range(count)]
    return Posterior.from_hypotheses(hypotheses, PosteriorConfig(grid=32, samples=128), calibration)


def test_it_belongs_to_the_weights() -> None:
    assert OWNER["sha256"] == weights_hash(FOLDER)
    assert set(FOUND) == {"keep", "recentre"}


@pytest.mark.parametrize("framing", ["keep", "recentre"])
@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_ball_on_which_all_agree(framing: str, count: int) -> None:
    posterior = unanimous(FOUND[framing], count)
    away, p = posterior.grid.points().norm(dim=-1), posterior.probability
    correction = posterior.correction.probability
    # As certain in its middle as the deepest places of known objects were; certain if the map knows depth to the end.
    assert float(p[away < 0.15].min()) == pytest.approx(correction.probabilities[-1], abs=1e-3)
    assert float(p[away < 0.15].min()) > 0.75
    assert float(p[away > 0.65].max()) < 0.02
    assert float(p[away < 0.15].min()) > float(p[(away - 0.45).abs() < 0.03].max())
    # Shell and probability say the same.
    for level in (0.1, 0.5, 0.7):
        inside = posterior.shell_distance(level) <= 0
        assert bool((p[inside] >= level - 1e-4).all())
        assert bool((p[~inside] < level + 1e-4).all())
    outer, inner = posterior.band_distances(0.9)
    assert bool((outer < inner).all())


@pytest.mark.parametrize("framing", ["keep", "recentre"])
def test_default_settings_fit_it_although_it_names_some_as_earlier_versions_did(framing: str) -> None:
    found = Calibrations(FOUND)
    settings = settings_of(GenerationConfig(), ReconstructionConfig())
    assert "emptiness" in FOUND[framing].provenance["settings"]["reconstruction"]["fuse"]
    assert found.choose(framing, settings) == (FOUND[framing], ())
    stronger = settings_of(GenerationConfig(), ReconstructionConfig(fuse=FuseConfig(free_space_weight=(0.3, 0.5))))
    assert "reconstruction" in found.choose(framing, stronger)[1][0]
