"""``tools/evaluate.py scene``: which scenes, which sampler, on which machine."""

from collections.abc import Sequence
from typing import Any

from mvdiff.evaluation.benchmarks.machine import device_name, versions
from mvdiff.evaluation.protocols import scene_baselines as baselines
from mvdiff.evaluation.protocols.scene_baselines import SceneSampler
from mvdiff.evaluation.protocols.scene_calibrate import SceneCalibrationConfig, calibrate_scenes
from mvdiff.evaluation.protocols.scene_config import BASELINES, SceneEvaluationConfig
from mvdiff.evaluation.protocols.scene_runner import CaseJob, evaluate_scenes

_FIRST_BANK_SEED = 2_000_000


def evaluate_scene_command(config: SceneEvaluationConfig, command: str = "") -> dict[str, Any]:
    """Choose scenes and sampler by the settings, score, and return what the results file holds."""
    config.check()
    jobs = scene_jobs(config)
    sampler, weights, device = load_sampler(config)
    sampler = baselines.copied(sampler) if config.copies else sampler
    head = {"command": command, "weights": weights, "device": device_name(device), "versions": versions()}
    return evaluate_scenes(config, jobs, sampler, head)


def calibrate_scene_command(config: SceneCalibrationConfig, command: str = "") -> dict[str, Any]:
    """Calibrate a network's hypotheses on validation scenes; returns how it holds on scenes left out."""
    from mvdiff.evaluation.protocols.scene_sources import FIRST_CALIBRATION_SEED, jobs

    config.check()
    sampler, weights, device = load_sampler(config)
    head = {"command": command, "weights": weights, "device": device_name(device), "versions": versions()}
    own = jobs(config.kinds, config.scenes, config.stations, FIRST_CALIBRATION_SEED, "validation")
    calibration = calibrate_scenes(config, own, sampler, head)
    rows = calibration.held_out[max(calibration.held_out, key=int)]
    return {"summary": rows}


def scene_jobs(config: SceneEvaluationConfig) -> Sequence[CaseJob]:
    if config.data is not None:
        from mvdiff.evaluation.protocols.scene_real import real_jobs

        return real_jobs(config)
    from mvdiff.evaluation.protocols.scene_sources import jobs

    return jobs(config.kinds, config.scenes, config.stations)


def load_sampler(config: SceneEvaluationConfig | SceneCalibrationConfig) -> tuple[SceneSampler, Any, Any]:
    """The sampler, what identifies its weights, and its device."""
    import torch

    if config.model in BASELINES:
        return _baseline(config), {"baseline": config.model}, torch.device("cpu")

    import diffusers

    from mvdiff.devices import pick_device
    from mvdiff.evaluation.protocols.scene_model import SceneModel
    from mvdiff.pipelines.scene_diffusion import SceneDiffusionPipeline
    from mvdiff.weights import packing

    diffusers.logging.set_verbosity_error()
    device = pick_device(config.device)
    pipeline = SceneDiffusionPipeline.from_pretrained(config.model).to(device)
    pipeline.set_progress_bar_config(disable=True)
    identity = {"name": config.model, "sha256": packing.weights_hash(packing.resolve(config.model))}
    return SceneModel(pipeline, config), identity, device


def _baseline(config: SceneEvaluationConfig | SceneCalibrationConfig) -> SceneSampler:
    if config.model == "nearest":
        from mvdiff.evaluation.protocols.scene_sources import jobs

        bank = jobs(config.kinds, getattr(config, "bank", 64), 0, _FIRST_BANK_SEED, "train")
        return baselines.NearestScene([job.known() for job in bank])
    return {"truth": baselines.truth, "extrude": baselines.extruded, "mean": baselines.mean_color}[config.model]
