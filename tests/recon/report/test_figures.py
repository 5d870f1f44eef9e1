"""Every headline figure of the report, recomputed from the definition that stands beside it."""

import html
import itertools
import json
import math
import re

import numpy as np
import pytest
import torch
from posterior_shapes import ball

from recon.posterior import Calibration, Posterior, PosteriorConfig
from recon.posterior.calibration import Correction, Margin, ProbabilityMap
from recon.report import render_report

CONFIG = PosteriorConfig(grid=32, samples=256)
MARGIN = Margin(0.01, 0.0, 0.0, (0.5, 0.9), (1.0, 3.0))
#: A map that never reaches certainty inside, as of a calibration set with hollow objects.
CAPPED = Calibration({1: Correction(MARGIN, MARGIN, ProbabilityMap(0.02, (-9.0, 0.0, 9.0), (0.01, 0.4, 0.8)))})
RADII = (0.2, 0.25, 0.25, 0.3, 0.35)


def made(calibration: Calibration | None) -> tuple[Posterior, str]:
    hypotheses = [ball(r, seed=k, elevation=10.0 + k, weight=1.0 + k) for k, r in enumerate(RADII)]
    posterior = Posterior.from_hypotheses(hypotheses, CONFIG, calibration)
    return posterior, render_report(posterior, hypotheses)


@pytest.fixture(scope="module", params=[None, CAPPED], ids=["raw", "calibrated"])
def case(request: pytest.FixtureRequest) -> tuple[Posterior, str]:
    return made(request.param)


def fact(page: str, name: str) -> tuple[str, str]:
    """Value and definition of a headline figure."""
    found = re.search(rf"<div class='fact'><b>([^<]*)</b><span>{name}</span><p>([^<]*)</p>", page)
    return found.group(1), html.unescape(found.group(2))


def votes(posterior: Posterior) -> np.ndarray:
    """Share of the weight that fills each cell, from the fields alone."""
    fields, weights = posterior.fields.numpy(), posterior.weights.numpy()
    return sum(w * (field < 0) for w, field in zip(weights, fields, strict=True))


def test_undecided_volume_is_where_the_weight_disagrees(case) -> None:
    posterior, page = case
    value, text = fact(page, "undecided volume")
    share = votes(posterior)
    undecided = ((share > 0.05) & (share < 0.95)).sum()
    mean = sum(w * (f < 0).sum() for w, f in zip(posterior.weights.numpy(), posterior.fields.numpy(), strict=True))
    assert value == f"{undecided / mean:.0%}"
    assert "more than 5 % and less than 95 % of the weight fills, relative to the mean volume" in text
    volume = posterior.summary()["volume"]
    assert volume["ambiguous"] == pytest.approx(undecided * posterior.grid.spacing**3, rel=1e-5)


def test_ambiguity_is_the_expected_disagreement_of_two(case) -> None:
    posterior, page = case
    inside, w = posterior.fields.numpy() < 0, posterior.weights.tolist()
    pairs = [(i, j) for i, j in itertools.product(range(len(w)), repeat=2) if i != j]
    total = sum(w[i] * w[j] for i, j in pairs)
    iou = {(i, j): (inside[i] & inside[j]).sum() / (inside[i] | inside[j]).sum() for i, j in pairs}
    expected = sum(w[i] * w[j] * (1 - iou[i, j]) for i, j in pairs) / total
    assert fact(page, "ambiguity")[0] == f"{expected:.0%}"


def test_entropy_is_the_mean_over_the_cells_that_any_fills(case) -> None:
    posterior, page = case
    value, text = fact(page, "entropy")
    p = posterior.probability.double().numpy()[votes(posterior) > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -np.nan_to_num(p * np.log2(p)) - np.nan_to_num((1 - p) * np.log2(1 - p))
    assert value == f"{bits.mean():.2f} bit"
    assert "over the voxels that any hypothesis fills" in text


def test_elevation_is_mean_and_deviation(case) -> None:
    posterior, page = case
    degrees = posterior.elevations.numpy()
    assert fact(page, "elevation")[0] == f"{degrees.mean():.0f}° ± {degrees.std():.0f}°"


def test_sections_say_which_probability_they_show(case) -> None:
    posterior, page = case
    text = re.search(r"<h2>Inside</h2>\s*<p>(.*?)</p>", page, re.DOTALL).group(1)
    if posterior.calibration is None:
        assert "share of the hypotheses' weight that is solid there (not calibrated)" in text
        assert torch.allclose(posterior.probability, torch.as_tensor(votes(posterior)).float(), atol=1e-6)
    else:
        assert "calibrated on known objects" in text
        assert "share of the hypotheses' weight" not in text
        # Solid for all, and still only as probable as such places were.
        assert float(posterior.probability[votes(posterior) > 0.999].max()) <= 0.8 + 1e-6


def test_the_3d_scene_names_the_band_by_its_coverage(case) -> None:
    posterior, page = case
    labels = json.loads(re.search(r'<script id="scene-data" type="application/json">(.*?)</script>', page).group(1))
    assert labels["labels"][-2:] == ["90% band, outer side", "90% band, inner side"]
    outer, inner = (float(m.vertices.norm(dim=-1).mean()) for m in posterior.band(posterior.coverage))
    assert inner < outer
    if posterior.calibration is not None:
        low, high = posterior.band_distances(posterior.coverage)
        assert torch.allclose((high - low) / 2, 3 * (posterior.spread + 0.01), atol=1e-6)


def test_each_hypothesis_is_shown_once_and_before_the_figures(case) -> None:
    _, page = case
    strips = re.findall(r'<figure class="card"><img src="([^"]+)"', page)
    assert len(strips) == len(RADII)
    assert page.index('class="card"') < page.index("class='fact'")
    assert page.count("<h2>The hypotheses</h2>") == 1
    assert "All hypotheses from four sides" not in page


def test_how_sure_the_grouping_is_stands_with_the_hypotheses(case) -> None:
    posterior, page = case
    grouping = posterior.summary()["grouping"]
    assert f"mean silhouette width of {grouping['silhouette']:.2f}" in page
    assert f"keeps the modes to {grouping['stability']:.2f}" in page
    assert math.isfinite(grouping["silhouette"])
