"""Schedulers by the names of the settings, where the exact solution of the flow is known, and in the main job."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.calibrations import Calibrations, settings_of
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.schedulers import make_scheduler
from recon.posterior.calibration import Calibration

SETTINGS = GenerationConfig(num_hypotheses=2, num_inference_steps=3, candidates=1, seed=2, elevation_prior=None)


def solved(name: str, steps: int) -> float:
    """Error at the end of the flow of a Gaussian N(2, 0.5^2), which carries x = 1 at pure noise to 2 + 0.5."""
    scheduler = make_scheduler(name, shift=3.0)
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).numpy())
    x = torch.ones(1, 1, dtype=torch.float64)
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        s = float(sigma)
        variance = (0.5 * (1 - s)) ** 2 + s**2
        mean = 2 + 0.25 * (1 - s) / variance * (x - 2 * (1 - s))  # E[data | x]
        x = scheduler.step((x - mean) / s, timestep, x, return_dict=False)[0]
    return abs(float(x) - 2.5)


def test_both_solve_the_flow_and_unipc_needs_fewer_steps() -> None:
    assert solved("euler", 200) < 0.01
    assert solved("unipc", 24) < solved("euler", 200)
    assert all(solved("unipc", steps) < solved("euler", steps) for steps in (4, 6, 8, 12))


@pytest.mark.parametrize("name", ["euler", "unipc"])
def test_the_main_job_samples_with_the_one_that_is_named(model: ImageTo3D, photo: Path, name: str) -> None:
    reference, settings = model.prepare(photo), replace(SETTINGS, scheduler=name)
    own = model.sampler.pipeline.scheduler
    before = repr(sorted(vars(own).items()))
    views, cameras = model.sample(reference, settings)
    assert model.sampler.pipeline.scheduler is own
    assert repr(sorted(vars(own).items())) == before  # a call changes nothing that the next one sees
    again, _ = model.sample(reference, settings)
    assert torch.equal(views.rgb, again.rgb)
    other, same = model.sample(reference, replace(settings, scheduler={"euler": "unipc", "unipc": "euler"}[name]))
    assert torch.equal(cameras.elevation, same.elevation)
    assert not torch.allclose(views.rgb, other.rgb, atol=1e-3)


def test_another_scheduler_than_the_calibration_was_made_with_is_said(model: ImageTo3D) -> None:
    def notes(recorded: dict, name: str, shift: float = 3.0) -> str:
        made = Calibration({}, {"settings": recorded})
        wanted = settings_of(replace(SETTINGS, scheduler=name, shift=shift), model.reconstruction)
        return " ".join(Calibrations({"keep": made}).choose("keep", wanted)[1])

    assert notes({"scheduler": "unipc"}, "unipc") == notes({}, "euler") == ""  # there was only one at first
    assert "scheduler" in notes({"scheduler": "unipc"}, "euler")
    assert "scheduler" in notes({}, "unipc")
    assert "shift" in notes({}, "euler", 5.0)
    assert notes({"shift": 5.0}, "euler", 5.0) == ""


@pytest.mark.parametrize("name", ["euler", "unipc"])
def test_a_greater_shift_spends_more_steps_near_noise(name: str) -> None:
    def levels(shift: float) -> Tensor:
        scheduler = make_scheduler(name, shift)
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.2, 5))
        return scheduler.sigmas[:5].double()

    evenly = torch.linspace(1.0, 0.2, 5, dtype=torch.float64)
    for shift in (3.0, 8.0):
        torch.testing.assert_close(levels(shift), shift * evenly / (1 + (shift - 1) * evenly), atol=1e-4, rtol=0)


def test_unknown_names_are_refused_and_old_runs_read(run, photo: Path) -> None:
    code, _, error = run("generate", photo, "--scheduler", "heun")
    assert code == 2
    assert "euler" in error
    old = GenerationConfig.from_manifest({"seed": 3})
    assert (old.scheduler, old.shift) == ("euler", 3.0)
    code, _, error = run("generate", photo, "--shift", "0")
    assert code == 2
    assert "shift" in error
