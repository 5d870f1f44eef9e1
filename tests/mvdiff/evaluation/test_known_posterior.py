"""Reading hidden attributes off sampled views, and judging samples of a distribution that is known."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mvdiff.data.procedural import Distribution, make, remake
from mvdiff.evaluation.protocols.known_posterior import FAMILY, STEP, KnownPosteriorConfig, classify, compare_with_truth
from mvdiff.evaluation.protocols.non_objects import KINDS, non_object
from mvdiff.sampling.rig import DEFAULT_RIG
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.metrics.probabilistic import kuiper_test, total_variation
from recon.rendering import render_mesh

TRUTH = Distribution(((None, 0.7),), (140.0, 220.0))


def test_handles_are_read_off_the_views() -> None:
    mug = make(3, FAMILY)
    cameras = Cameras.orbit(list(DEFAULT_RIG.azimuths), list(DEFAULT_RIG.elevations), size=64)
    values = [None, 150.0, 187.0, 271.0]
    views = ViewSet.cat([render_mesh(remake(mug, value).mesh, cameras) for value in values])
    found = classify(mug, views)
    assert found[0] is None
    for value, expected in zip(found[1:], values[1:], strict=True):
        assert abs(value - expected) <= STEP


def test_samples_of_the_truth_are_as_good_as_chance_lets_them_be() -> None:
    rng = np.random.default_rng(1)
    samples = [TRUTH.sample(rng) for _ in range(256)]
    found = compare_with_truth([None if v is None else round(v / STEP) * STEP for v in samples], TRUTH)
    assert found["total_variation"] < 2 * found["total_variation_by_chance"]
    assert found["present"] == pytest.approx(0.3, abs=0.08)
    assert found["kuiper_p"] > 0.01


def test_a_sampler_that_always_says_the_same_is_found_out() -> None:
    found = compare_with_truth([180.0] * 256, TRUTH)
    assert found["total_variation"] > 0.7
    assert found["kuiper_p"] < 1e-6
    absent = compare_with_truth([None] * 256, TRUTH)
    assert absent["total_variation"] == pytest.approx(0.3)
    assert absent["kuiper_p"] is None
    assert compare_with_truth([10.0] * 8, TRUTH)["visible_arc"] == 1


def test_kuiper_and_total_variation() -> None:
    assert kuiper_test([0.5])[0] == pytest.approx(1.0)
    even = (np.arange(100) + 0.5) / 100
    assert kuiper_test(even.tolist()) == pytest.approx((0.01, 1.0))
    rng = np.random.default_rng(0)
    p = [kuiper_test(rng.uniform(size=60).tolist())[1] for _ in range(200)]
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.06)
    assert total_variation({"a": 3, "b": 1}, {"a": 0.5, "b": 0.5}) == pytest.approx(0.25)
    assert total_variation({"a": 1}, {"b": 1.0}) == 1


def test_non_objects_are_pictures_of_every_kind() -> None:
    kinds, pictures = zip(*(non_object(k, 64) for k in range(8)), strict=True)
    assert set(kinds) == set(KINDS)
    assert non_object(5, 64)[1].tobytes() == pictures[5].tobytes()
    assert all(np.asarray(picture)[..., 3].max() == 255 for picture in pictures)


def test_both_commands_run(tmp_path: Path, weights: Path) -> None:
    from mvdiff import ImageTo3D
    from mvdiff.evaluation.protocols.known_posterior import known_posterior
    from mvdiff.evaluation.protocols.novelty import NoveltyConfig, judge_novelty

    model = ImageTo3D.from_pretrained(weights, "cpu")
    small = {"num_inference_steps": 1, "device": "cpu"}
    config = KnownPosteriorConfig(tmp_path / "k.json", objects=1, num_hypotheses=3, **small)
    found = known_posterior(config, model, "command")
    assert json.loads((tmp_path / "k.json").read_text()) == found
    assert found["summary"]["present_truth"] < 0.6
    assert FAMILY in (tmp_path / "k.md").read_text()
    judged = judge_novelty(NoveltyConfig(procedural=8, non_objects=2, output=tmp_path / "n.json", **small), model)
    assert 0 <= judged["summary"]["auroc_all"] <= 1
    assert all(math.isfinite(entry["distance"]) for entry in judged["pictures"])


@pytest.mark.parametrize("change", [{"objects": 0}, {"elevation": 60.0}, {"output": Path("x.txt")}])
def test_settings_that_cannot_be_used(change) -> None:
    with pytest.raises(InputError):
        KnownPosteriorConfig(**change).check()
