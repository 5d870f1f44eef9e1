"""Calibration on balls whose radius is known: stated coverages hold, and say what they must."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.mesh import TexturedMesh
from recon.posterior import Calibration, Hypothesis, Posterior, PosteriorConfig, load_posterior, save_posterior
from recon.posterior.calibration import CERTAIN_DEPTH, Margin, ProbabilityMap, vote_logits
from recon.posterior.conformal import LEVELS, fit, fit_margin, fit_probability, groups, observe

OBJECTS = 16
CONFIG = PosteriorConfig(grid=20, samples=128)
GRID = VoxelGrid(torch.zeros(3), 0.55, 20)


def ball(radius: float) -> TexturedMesh:
    return GRID.surface(GRID.points().norm(dim=-1) - radius)


def posterior_of(radii: list[float], calibration: Calibration | None = None) -> Posterior:
    hypotheses = [Hypothesis(ball(r), GRID.points().norm(dim=-1) - r, GRID.extent) for r in radii]
    return Posterior.from_hypotheses(hypotheses, CONFIG, calibration)


def draw(seed: int, count: int, error: float) -> tuple[float, list[float]]:
    """A true radius, and hypotheses that spread half as much as they err."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count + 1, generator=generator)
    middle = 0.3 + error * float(noise[0])
    return 0.3, [middle + 0.5 * error * float(x) for x in noise[1:]]


def synthetic(objects: int, error: float, spread: float, seed: int = 0) -> list[list[dict]]:
    """Observations without geometry: errors of size ``error`` beside stated spreads of ``spread``."""
    generator = torch.Generator().manual_seed(seed)
    entries = []
    for _ in range(objects):
        size = float(torch.rand(1, generator=generator)) + 0.5
        errors = (torch.randn(200, generator=generator) * error * size).abs().tolist()
        kind = {"error": errors, "spread": [spread * size] * 200}
        entries.append([{"mean": spread * size, "residual": 0.0, "band": kind, "intervals": kind}])
    return entries


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    objects = []
    for seed in range(OBJECTS):
        truth, radii = draw(seed, 4, 0.03)
        whole = posterior_of(radii)
        distance = whole.grid.points().norm(dim=-1) - truth
        objects.append(
            {
                str(count): [observe(whole.subset(group), distance, ball(truth).vertices) for group in groups(count, 4)]
                for count in (1, 2, 4)
            }
        )
    return fit(objects, {"objects": [f"ball{k}" for k in range(OBJECTS)]})


def test_margins_hold_on_other_objects_and_are_no_wider_than_they_must() -> None:
    margin = fit_margin(synthetic(200, 0.02, 0.01), "band")
    fresh = synthetic(200, 0.02, 0.01, seed=1)
    for level in (0.5, 0.8, 0.9, 0.95):
        held = []
        for (observation,) in fresh:
            error, spread = (torch.tensor(observation["band"][key]) for key in ("error", "spread"))
            half = margin.factor(level) * margin.scale(spread, observation["mean"], 0.0)
            held.append(float((error <= half).float().mean()))
        assert sum(held) / len(held) == pytest.approx(level, abs=0.02)
    # Twice the spread everywhere says the same: half the factors.
    assert margin.factor(0.9) == pytest.approx(2 * fit_margin(synthetic(200, 0.01, 0.01), "band").factor(0.9), rel=0.5)


def test_few_objects_cannot_promise_much() -> None:
    few = fit_margin(synthetic(12, 0.02, 0.01), "band")
    assert few.levels[-1] <= 12 / 13
    assert fit_margin(synthetic(60, 0.02, 0.01), "band").levels == LEVELS
    with pytest.raises(InputError, match="up to a coverage of 90%"):
        few.factor(0.95)


def test_factors_rise_with_coverage() -> None:
    margin = Margin(0.01, 0, 0, (0.5, 0.9), (1.0, 3.0))
    assert [margin.factor(c) for c in (0.0, 0.25, 0.5, 0.7, 0.9)] == pytest.approx([0, 0.5, 1, 2, 3])
    assert margin.scale(torch.tensor([0.02]), 1.0, 1.0).tolist() == pytest.approx([0.03])


def test_votes_become_the_frequencies_that_they_stand_for() -> None:
    # Cells of logit z are inside with probability 0.5 for z < 0 and 0.8 above, whatever the vote says.
    cells = [100] * 128
    votes = {"cells": cells, "inside": [50] * 64 + [80] * 64}
    found = fit_probability([[{"occupancy": dict.fromkeys(("0.005", "0.01", "0.02", "0.04"), votes)}]])
    p = found.of_logits(torch.tensor([-7.0, -1.0, 1.0, 7.0]))
    assert p.tolist() == pytest.approx([0.5, 0.5, 0.8, 0.8], abs=1e-6)
    # What lies deeper than anything of the calibration set is certain.
    assert found.of_logits(torch.tensor([-1e3, 1e3])).tolist() == [0, 1]


def test_softened_votes_are_the_mean_of_sigmoids() -> None:
    fields = torch.tensor([[[[-0.01]]], [[[0.03]]]])
    expected = 0.25 * torch.sigmoid(torch.tensor(1.0)) + 0.75 * torch.sigmoid(torch.tensor(-3.0))
    found = vote_logits(fields, torch.tensor([0.25, 0.75]), 0.01)
    assert float(found) == pytest.approx(float(expected.logit()), rel=1e-4)


def test_where_all_agree_the_log_odds_are_the_depth() -> None:
    depth = torch.linspace(-CERTAIN_DEPTH, CERTAIN_DEPTH, 101)
    found = vote_logits(-depth.expand(3, -1), torch.full((3,), 1 / 3), 0.01)
    assert torch.allclose(found, depth / 0.01, atol=1e-3)
    deeper = vote_logits(torch.full((3, 1), -1.0), torch.full((3,), 1 / 3), 0.01)
    assert float(deeper) == pytest.approx(CERTAIN_DEPTH / 0.01, abs=1e-3)


def test_a_ball_on_which_all_agree_is_certain_in_its_middle_and_far_outside(calibration) -> None:
    posterior = posterior_of([0.4] * 4, calibration)
    away = posterior.grid.points().norm(dim=-1)
    assert float(posterior.probability[away < 0.4 - CERTAIN_DEPTH].min()) == 1
    assert float(posterior.probability[away < 0.25].min()) > 0.97
    assert float(posterior.probability[away > 0.4 + 0.15].max()) < 0.03
    assert float(posterior.probability[(away - 0.4).abs() < 0.02].min()) > 0.05
    assert float(posterior.entropy[away < 0.4 - CERTAIN_DEPTH].max()) == 0


@pytest.mark.parametrize("level", [0.02, 0.05, 0.3, 0.5, 0.9, 0.95, 1.0])
def test_shells_bound_the_places_of_their_probability(calibration, level: float) -> None:
    _, radii = draw(3, 4, 0.03)
    posterior = posterior_of(radii, calibration)
    inside, p = posterior.shell_distance(level) <= 0, posterior.probability
    assert bool((p[inside] >= level - 1e-4).all())
    assert bool((p[~inside] < level + 1e-4).all())
    assert bool(inside.any())
    mesh = posterior.shell(level)
    found = posterior.grid.sample(p[None], mesh.vertices)[0]
    assert (found - level).abs().mean() < 0.1


def test_a_level_that_no_place_reaches_has_no_shell() -> None:
    capped = ProbabilityMap(0.02, (-8.0, 0.0, 8.0), (0.0, 0.5, 0.8))
    fields, weights = torch.tensor([[-0.3, -0.01, 0.01, 0.3]]), torch.ones(1)
    assert capped(fields, weights).max() == pytest.approx(0.8)
    assert bool((capped.distance(fields, weights, 0.9) > 0).all())
    assert (capped.distance(fields, weights, 0.5) <= 0).tolist() == [True, True, False, False]


def test_calibrated_bands_cover_where_raw_ones_do_not(calibration) -> None:
    raw, calibrated = [], []
    for seed in range(100, 116):
        truth, radii = draw(seed, 4, 0.03)
        points = ball(truth).vertices
        for posterior, found in ((posterior_of(radii), raw), (posterior_of(radii, calibration), calibrated)):
            outer, inner = posterior.grid.sample(posterior.band_distances(0.9), points)
            found.append(float(((outer <= 0) & (inner >= 0)).float().mean()))
    assert sum(raw) / 16 < 0.7
    assert sum(calibrated) / 16 == pytest.approx(0.9, abs=0.12)


def test_calibrated_bands_and_intervals_grow_with_their_coverage(calibration) -> None:
    _, radii = draw(5, 4, 0.03)
    posterior = posterior_of(radii, calibration)
    for narrow, wide in itertools.pairwise(posterior.band_distances(c) for c in (0.5, 0.8, 0.9)):
        assert bool((wide[0] <= narrow[0]).all())
        assert bool((narrow[1] <= wide[1]).all())
    found = []
    for coverage in (0.5, 0.8, 0.9):
        mesh = replace(posterior, coverage=coverage).with_spread(
            posterior.representative, posterior.representative_index
        )
        found.append(mesh.attributes["interval"])
    for narrow, wide in itertools.pairwise(found):
        assert bool((wide[:, 0] <= narrow[:, 0]).all())
        assert bool((narrow[:, 1] <= wide[:, 1]).all())


def test_one_hypothesis_is_as_uncertain_as_one_hypothesis_has_been(calibration) -> None:
    alone, several = posterior_of([0.3], calibration), posterior_of([0.3] * 4, calibration)
    width = [float(p.representative.attributes["interval"].diff(dim=1).mean()) for p in (alone, several)]
    assert width[0] > width[1] > 0
    assert float(alone.entropy.max()) > 0.1


def test_the_number_of_hypotheses_picks_the_correction_below(calibration) -> None:
    assert [calibration.at(size)[0] for size in (0.5, 1, 1.9, 2, 3.99, 4, 64)] == [1, 1, 1, 2, 2, 4, 4]


def test_what_is_stated_names_its_calibration(calibration) -> None:
    posterior = posterior_of([0.3, 0.31, 0.32, 0.28], calibration)
    record = posterior.summary()["calibration"]
    assert record["name"] == calibration.name
    assert record["num_hypotheses"] == 4
    assert f"{OBJECTS} known objects" in record["statement"]
    bare = posterior_of([0.3, 0.31]).summary()["calibration"]
    assert bare["name"] is None
    assert "Not calibrated" in bare["statement"]


def test_calibrations_and_calibrated_posteriors_survive_their_files(calibration, tmp_path: Path) -> None:
    loaded = Calibration.load(calibration.save(tmp_path / "c.json"))
    assert loaded.name == calibration.name
    assert loaded.corrections == dict(calibration.corrections)
    posterior = posterior_of([0.3, 0.31, 0.32, 0.28], calibration)
    again = load_posterior(save_posterior(posterior, tmp_path))
    assert again.calibration.name == calibration.name
    assert torch.allclose(again.probability, posterior.probability, atol=2e-3)
    found, before = again.band_distances(0.9), posterior.band_distances(0.9)
    assert (found - before)[before.abs() < 0.1].abs().max() < 2e-3


def test_calibrations_of_the_earlier_format_say_what_they_said(calibration, tmp_path: Path) -> None:
    content = json.loads(json.dumps(calibration.to_dict()).replace('"band"', '"shells"'))
    (tmp_path / "old.json").write_text(json.dumps(content | {"format": "mvdiff-calibration/1"}))
    loaded = Calibration.load(tmp_path / "old.json")
    assert loaded.corrections == dict(calibration.corrections)
    assert loaded.statement(4, 0.9) == calibration.statement(4, 0.9).replace(calibration.name, loaded.name)
    assert "Bands stated at 90%" in loaded.statement(4, 0.9)


@pytest.mark.parametrize(
    "damage", ["{", "{}", '{"format": "other"}', '{"format": "mvdiff-calibration/1", "corrections": {}}']
)
def test_damaged_files_are_refused(damage: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(damage)
    with pytest.raises(InputError, match="no readable calibration"):
        Calibration.load(tmp_path / "c.json")
    with pytest.raises(InputError, match="There is no calibration"):
        Calibration.load(tmp_path / "missing.json")


def test_cross_fitting_judges_objects_that_were_not_fitted(calibration) -> None:
    found = calibration.held_out["4"]
    assert found["objects"] == OBJECTS
    ninety = next(row for row in found["band"] if row["level"] == 0.9)
    assert ninety["coverage"] == pytest.approx(0.9, abs=0.12)
    p = found["probability"]
    assert p["brier"] <= p["brier_voted"] + 1e-3
    assert p["brier"] < p["brier_single"]


def test_probabilities_do_not_fall_with_the_vote(calibration) -> None:
    mapped = calibration.corrections[4].probability
    assert isinstance(mapped, ProbabilityMap)
    p = mapped.of_logits(torch.linspace(-9, 9, 500))
    assert bool((p.diff() >= -1e-6).all())
    assert bool(((p >= 0) & (p <= 1)).all())


def test_groups_are_disjoint() -> None:
    assert groups(2, 8) == [range(0, 2), range(2, 4)]
    assert groups(8, 8) == [range(0, 8)]
