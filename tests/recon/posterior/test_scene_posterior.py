"""The posterior of a scene on rooms in closed form: fields from the room's formula, rays from its ray caster."""

import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from box_room import BOX, ROOM, box_room, looking, room_case, room_solid

from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.posterior.scene_calibration import (
    FAR,
    SceneCalibration,
    SceneCorrection,
    cross_fitted,
    fit_correction,
    fit_scenes,
    observe,
    vote_logits,
)
from recon.posterior.scene_posterior import PhotoNoise, ScenePosterior, candidate_cameras
from recon.scenes.field import FREE, OCCUPIED, UNKNOWN, SceneField
from recon.scenes.grid import SceneGrid
from recon.scenes.navigation import Body
from recon.scenes.strata import HIDDEN, OUTSIDE, SEEN

GRID = SceneGrid(torch.tensor([-3.0, -2.0, -4.0]), 0.25, (24, 14, 32))


def room_field(room=ROOM, box=BOX, grid=GRID) -> SceneField:
    """Free inside, occupied around, unknown above the room."""
    points = grid.points()
    state = torch.where(room_solid(points, room, box), FREE, OCCUPIED).to(torch.uint8)
    state[points[..., 1] > room[1][1] + 0.3] = UNKNOWN
    one = torch.ones_like(state, dtype=torch.float32)
    return SceneField(grid, state[None], one[None], one[None])


@lru_cache
def posterior(n: int = 4) -> ScenePosterior:
    """Rooms whose back wall, behind the photo's camera, stands nearer or farther."""
    rooms = [((-2.0, -1.2, -3.0), (2.0, 1.3, 1.0 + 2.0 * (k % 2))) for k in range(n)]
    cases = [room_case(32, room=room) for room in rooms]
    views = ViewSet.cat([case.truth for case in cases])
    field = SceneField.cat([room_field(room) for room in rooms])
    return ScenePosterior(views, field, torch.full((n,), 1 / n), cases[0].unit)


def test_probabilities_of_a_cell_are_votes_and_sum_to_one():
    found = posterior().probabilities
    total = found.occupied + found.free + found.unknown
    torch.testing.assert_close(total, torch.ones_like(total))
    index, _ = GRID.locate(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 3.9], [0.0, 1.49, 0.0]]))
    at = [tuple(cell) for cell in index]
    assert [float(found.free[cell]) for cell in at] == [1, 0.5, 0, 0]
    assert [float(found.occupied[cell]) for cell in at] == [0, 0.5, 1, 1]
    assert found.unknown[:, -1].eq(1).all() == posterior().field.unknown[:, :, -1].all()


def test_strata_are_what_the_photo_shows():
    strata = posterior().strata

    def at(*place: float) -> int:
        index, inside = GRID.locate(torch.tensor([place]))
        assert inside.all()
        return int(strata[tuple(index[0])])

    assert at(0.0, 0.0, -1.0) == SEEN
    assert at(-1.3, -0.6, -2.6) == HIDDEN  # behind the box
    assert at(0.0, 0.0, 1.0) == OUTSIDE
    assert (strata == FAR).sum() == 0  # the grid ends within two median depths
    near = replace(posterior(), unit=1.0)
    assert (near.strata == FAR).any()


def test_only_rays_that_no_photo_sees_are_uncertain():
    own = posterior()
    low, high = own.depth_interval(0.9)
    assert torch.allclose(low[0], high[0], rtol=1e-5)
    back = 3  # looks away from the photo
    middle = high[back, 16, 16] - low[back, 16, 16]
    assert middle > 1.5
    assert own.seen[0].all()
    assert not own.seen[back].any()
    with pytest.raises(InputError, match="coverage"):
        own.depth_interval(1.0)


def margins(floor: float, factor: float):
    from recon.posterior.calibration import Margin

    return Margin(floor, 0.0, 0.0, (0.5, 0.9), (factor / 2, factor))


def test_calibrated_intervals_are_margins_around_the_median():
    maps = {name: identity_map() for name in ("seen", "hidden", "outside", "far")}
    correction = SceneCorrection({"seen": margins(0.01, 2.0), "unseen": margins(0.1, 3.0)}, maps)
    own = replace(posterior(), calibration=SceneCalibration({4: correction}))
    low, high = own.depth_interval(0.9)
    width = (high / low).log()
    assert width[0].median().item() == pytest.approx(2 * 2.0 * 0.01, rel=1e-3)
    spread = own.log_depth.std(0)[3, 16, 16]
    assert width[3, 16, 16].item() == pytest.approx(2 * 3.0 * (0.1 + float(spread)), rel=1e-3)
    narrow = own.depth_interval(0.5)
    assert (narrow[0] >= low).all()
    assert own.calibration.at(100) is correction
    assert own.calibration.at(1) is correction


def identity_map():
    from recon.posterior.calibration import ProbabilityMap

    return ProbabilityMap(0.0, (-4.0, 4.0), (0.0, 1.0))


def test_modes_are_the_two_rooms():
    modes = posterior().modes()
    assert sorted(mode.members for mode in modes) == [(0, 2), (1, 3)]
    assert [mode.mass for mode in modes] == [0.5, 0.5]
    torch.testing.assert_close(posterior().distances.diagonal(), torch.zeros(4))
    one = replace(posterior(), views=posterior().views[[0, 0, 0, 0]], field=posterior().field.cat([room_field()] * 4))
    assert len(one.modes()) == 1


def test_the_next_photo_looks_where_the_rooms_differ():
    cameras = candidate_cameras(torch.zeros(1, 3), yaws=4, size=24)
    rooms = [((-2.0, -1.2, -3.0), (2.0, 1.3, 1.0 + 2.0 * (k % 2))) for k in range(4)]
    predicted = ViewSet.cat([box_room(cameras, room=room) for room in rooms])
    plan = posterior().next_photo(predicted, count=2)
    assert plan.chosen[0] == 2  # backwards
    assert plan.entropy == pytest.approx(2)
    assert plan.information[0] < 0.05  # forwards all rooms look the same
    assert 0.8 < plan.information[2] <= 1 + 1e-3  # one of two rooms: one bit of two
    assert plan.left_after_best < plan.left_after_random
    assert plan.cumulative[1] >= plan.cumulative[0] - 1e-6
    with pytest.raises(InputError, match="predictions"):
        posterior().next_photo(predicted[:2])


def test_what_no_hypothesis_expects_tells_nothing():
    cameras = candidate_cameras(torch.zeros(1, 3), yaws=4, size=24)
    rooms = [((-2.0, -1.2, -3.0), (2.0, 1.3, 1.0 + 2.0 * (k % 2))) for k in range(4)]
    predicted = ViewSet.cat([box_room(cameras, room=room) for room in rooms])
    blind = replace(predicted, alpha=torch.zeros_like(predicted.alpha))
    assert posterior().next_photo(blind).information.max() < 1e-4
    colors = posterior().next_photo(predicted, noise=PhotoNoise(log_depth=None))
    assert colors.chosen[0] == 2


def test_candidates_look_all_around():
    cameras = candidate_cameras(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), yaws=4)
    ahead = cameras.c2w[:, :3, 2]
    torch.testing.assert_close(ahead[1], torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(ahead[6], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)
    assert cameras.position[4:, 0].tolist() == [1.0] * 4
    with pytest.raises(InputError):
        candidate_cameras(torch.zeros(0, 3))


def test_a_walk_is_safe_where_all_rooms_are_free():
    body = Body(height=1.0, radius=0.3, step=0.25)
    safe = posterior().probabilities.safe_to_walk(body)

    def at(*place: float) -> bool:
        index, _ = GRID.locate(torch.tensor([place]))
        return bool(safe[tuple(index[0])])

    feet = -1.1
    assert at(0.0, feet, -1.0)
    assert not at(-0.8, feet, -1.8)  # in the box
    assert not at(-0.3, feet, -1.8)  # too near to it
    assert not at(0.0, feet, 1.6)  # free in half of the rooms
    assert not at(1.9, feet, 0.0)  # at the wall
    assert posterior().probabilities.safe_to_walk(body, 0.5).sum() > safe.sum()
    with pytest.raises(InputError, match="safety"):
        posterior().probabilities.safe_to_walk(body, 0.0)


def scene(seed: int, n: int = 8, overconfident: float = 1.0) -> dict:
    """Observations of a made-up scene, whose truth is one more draw unless hypotheses are too near to each other."""
    g = torch.Generator().manual_seed(seed)
    center = torch.randn(3000, generator=g)
    draws = center + 0.3 * torch.randn(n, 1, generator=g) / overconfident
    truth = center + 0.3 * torch.randn(1, generator=g)
    p = torch.rand(GRID.shape, generator=g)
    votes = torch.rand(n, *GRID.shape, generator=g) < p
    state = torch.where(votes, FREE, OCCUPIED).to(torch.uint8)
    # Space is free less often than hypotheses say.
    true_state = torch.where(torch.rand(GRID.shape, generator=g) < p**2, FREE, OCCUPIED).to(torch.uint8)
    ones = torch.ones(n, *GRID.shape)
    field, known = SceneField(GRID, state, ones, ones), SceneField(GRID, true_state[None], ones[:1], ones[:1])
    seen = torch.rand(3000, generator=g) < 0.5
    strata = torch.zeros(GRID.shape, dtype=torch.uint8)
    return {str(n): [observe(draws, truth, seen, field, known, strata)]}


@lru_cache
def scenes() -> tuple[dict, ...]:
    return tuple(scene(seed, overconfident=3.0) for seed in range(40))


def test_intervals_hold_after_calibration_though_hypotheses_are_too_sure():
    entries = [each["8"] for each in scenes()]
    held = cross_fitted(entries)
    assert held["coverage_seen_0.9"] == pytest.approx(0.9, abs=0.06)
    assert held["coverage_unseen_0.9"] == pytest.approx(0.9, abs=0.06)
    correction = fit_correction(entries)
    raw = 1.64  # standard deviations that would hold 90 % were the hypotheses right
    assert correction.depth["seen"].factor(0.9) > raw


def test_free_space_is_called_free_when_it_is():
    entries = [each["8"] for each in scenes()]
    held = cross_fitted(entries)
    assert held["free_right"] is None or held["free_right"] >= 0.94
    mapped = fit_correction(entries).free["seen"]
    # Eight free votes of eight: E[p^2 p^8] / E[p^8] = 9 / 11 over even p.
    sure = torch.tensor([math.log(8.5 / 0.5)])
    assert mapped.of_logits(sure).item() == pytest.approx(9 / 11, abs=0.02)
    assert list(mapped.probabilities) == sorted(mapped.probabilities)


def test_votes_of_many_say_more_than_of_few():
    state = torch.tensor([[FREE, FREE, OCCUPIED], [FREE, UNKNOWN, UNKNOWN]], dtype=torch.uint8).reshape(2, 3, 1, 1)
    ones = torch.ones(2, 3, 1, 1)
    logits = vote_logits(SceneField(SceneGrid(torch.zeros(3), 1.0, (3, 1, 1)), state, ones, ones)).flatten()
    assert logits[0] > logits[1] > 0 > logits[2]
    assert logits[0].item() == pytest.approx(math.log(5), abs=0.1)


def test_a_calibration_comes_back_from_its_file(tmp_path):
    calibration = fit_scenes(list(scenes()), {"scenes": 40})
    path = calibration.save(tmp_path / "scene_calibration.json")
    again = SceneCalibration.load(path)
    assert again.to_dict() == calibration.to_dict()
    assert again.name == calibration.name
    with pytest.raises(InputError, match="no scene calibration"):
        SceneCalibration.load(tmp_path / "none.json")
    for text in ("{}", "[]", '{"format": "other"}', "nonsense"):
        path.write_text(text)
        with pytest.raises(InputError, match="readable"):
            SceneCalibration.load(path)
    with pytest.raises(InputError, match="several"):
        fit_scenes(list(scenes())[:1])


def test_calibrated_probabilities_keep_unknown_space_unknown():
    maps = {name: identity_map() for name in ("seen", "hidden", "outside", "far")}
    correction = SceneCorrection({"seen": margins(0.01, 2.0), "unseen": margins(0.1, 3.0)}, maps)
    own = replace(posterior(), calibration=SceneCalibration({4: correction}))
    found, raw = own.probabilities, posterior().probabilities
    torch.testing.assert_close(found.unknown, raw.unknown)
    torch.testing.assert_close(found.free + found.occupied + found.unknown, torch.ones(GRID.shape))
    assert found.free.max() < 1  # four votes are not certainty


def test_hypotheses_must_belong_together():
    own = posterior()
    with pytest.raises(InputError, match="as many"):
        ScenePosterior(own.views[:2], own.field, own.weights, own.unit)
    with pytest.raises(InputError, match="depth"):
        ScenePosterior(replace(own.views, depth=None), own.field, own.weights, own.unit)
    assert looking([(0.0, 0.0, 0.0)], [0.0]).shape == (1,)
