"""Hypotheses that draw several candidates and keep one, on the tiny network."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.candidates import candidate_seeds, generators, hypothesis_seed, most_consistent
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.rig import DEFAULT_RIG
from recon import ViewSet
from recon.core.errors import InputError
from recon.fusion.consistency import contradictions
from recon.posterior import load_posterior

SETTINGS = GenerationConfig(num_hypotheses=3, num_inference_steps=2, seed=5)


@pytest.fixture(scope="module")
def reference(model: ImageTo3D, photo: Path) -> ReferenceImage:
    return model.prepare(photo)


def sampled(model: ImageTo3D, reference: ReferenceImage, **settings) -> ViewSet:
    return model.sample(reference, replace(SETTINGS, **settings)).views


def drawn(model: ImageTo3D, reference: ReferenceImage, candidates: int) -> ViewSet:
    """By the pipeline, which knows of no candidates."""
    return model.sampler.pipeline(
        reference,
        num_hypotheses=SETTINGS.num_hypotheses * candidates,
        num_inference_steps=SETTINGS.num_inference_steps,
        generator=generators(candidate_seeds(SETTINGS.seed, range(SETTINGS.num_hypotheses), candidates)),
        rig=replace(DEFAULT_RIG, size=model.sampler.pipeline.transformer.config.sample_size),
    ).views


def test_every_candidate_has_a_seed_of_its_own_and_the_first_is_the_hypothesis() -> None:
    seeds = candidate_seeds(3, [0, 4], 3)
    assert len(set(seeds)) == 6
    assert seeds[::3] == [hypothesis_seed(3, 0), hypothesis_seed(3, 4)]
    assert candidate_seeds(3, [4], 2) == seeds[3:5]


@pytest.mark.parametrize("candidates", [1, 2, 3])
def test_a_hypothesis_is_the_same_whatever_their_number(model, reference, candidates: int) -> None:
    one, three, eight = (sampled(model, reference, num_hypotheses=n, candidates=candidates).alpha for n in (1, 3, 8))
    assert (one - three[:1]).abs().mean() < 0.01
    assert (three - eight[:3]).abs().mean() < 0.01
    assert (three[0] - three[1]).abs().mean() > 0.01


def test_one_candidate_is_what_the_pipeline_draws(model, reference) -> None:
    own, plain = sampled(model, reference, candidates=1), drawn(model, reference, 1)
    assert (own.rgb - plain.rgb).abs().mean() < 0.01
    assert (drawn(model, reference, 3).rgb[::3] - plain.rgb).abs().mean() < 0.01


def test_the_least_contradicted_candidate_is_kept(model, reference) -> None:
    every, kept = drawn(model, reference, 3), sampled(model, reference, candidates=3)
    scores = contradictions(every).reshape(3, 3)
    assert scores.argmin(1).any()  # not the first everywhere, or this would test nothing
    assert torch.allclose(contradictions(kept), scores.amin(1), atol=2e-3)
    best = every.alpha.unflatten(0, (3, 3))[torch.arange(3), scores.argmin(1)]
    assert (kept.alpha - best).abs().mean() < 0.01


def test_kept_cameras_belong_to_kept_views(model, reference) -> None:
    views, cameras = model.sample(reference, replace(SETTINGS, candidates=3))
    height = torch.rad2deg(torch.asin(torch.nn.functional.normalize(views.cameras.c2w[:, 0, :3, 3], dim=-1)[:, 1]))
    assert torch.allclose(height, cameras.elevation, atol=0.1)


def test_an_interrupted_run_goes_on_with_what_it_kept(model: ImageTo3D, photo: Path, tmp_path: Path) -> None:
    settings = {"num_hypotheses": 3, "num_inference_steps": 2, "candidates": 2}
    steps = []

    def watch(name: str, done: int, total: int) -> None:
        if name == "sample":
            steps.append((done, total))
            if "stop" in folder.name and done >= 5:
                raise KeyboardInterrupt

    folder = tmp_path / "whole"
    model.generate(photo, folder, progress=watch, **settings)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (6, 6)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        model.generate(photo, folder, progress=watch, **settings)
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert len(kept) == 2
    model.generate(photo, folder, **settings)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert torch.equal(load_posterior(folder).fields, load_posterior(tmp_path / "whole").fields)
    assert json.loads((folder / "manifest.json").read_text())["inputs"]["config"]["candidates"] == 2


def test_a_candidate_of_which_a_view_shows_nothing_is_the_last_to_be_kept(model, reference) -> None:
    every = drawn(model, reference, 1)
    assert contradictions(every).max() < 0.1
    alpha = every.alpha.clone()
    alpha[0, 2] = 0.0
    worse = replace(every, alpha=alpha)
    assert most_consistent(ViewSet.cat([worse[0], every[1], every[2], worse[0]]), 2).tolist() == [1, 2]


def test_less_than_one_candidate_is_refused(run, photo: Path) -> None:
    with pytest.raises(InputError, match="candidates is at least 1"):
        replace(SETTINGS, candidates=0).check()
    code, _, error = run("generate", photo, "--candidates", 0)
    assert code == 2
    assert "candidates is at least 1" in error


@pytest.mark.parametrize("prior", [None, (15.0, 20.0)])
def test_settings_are_read_from_a_manifest_as_they_were(prior: tuple[float, float] | None) -> None:
    settings = replace(SETTINGS, elevation_prior=prior)
    assert GenerationConfig.from_manifest(json.loads(json.dumps(asdict(settings)))) == settings
