"""The sampler against a posterior that is known: a mug whose handle, if it has one, the photo cannot show."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.data.procedural import Distribution, ProceduralObject, make, remake
from mvdiff.evaluation.benchmarks.machine import config_to_json, provenance
from mvdiff.evaluation.jobs.objects import FIRST_PROCEDURAL, View, photograph
from mvdiff.evaluation.summary import mean_of
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.rig import DEFAULT_RIG
from mvdiff.sampling.settings import SamplingConfig
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.folders import write_bytes, write_json
from recon.metrics.probabilistic import kuiper_test, total_variation
from recon.rendering import render_mesh

FAMILY = "hidden_handle_mug"
#: Degrees between the angles that a sampled handle is compared with.
STEP = 6.0
_SIZE = 64
_ARC_BINS = 6


@dataclass(frozen=True)
class KnownPosteriorConfig(SamplingConfig):
    output: Path = Path("known_posterior.json")
    """Beside it: .md."""
    objects: int = 4
    """Mugs, each photographed once."""
    num_hypotheses: int = 256
    """Number of hypotheses per object; only their views are sampled."""
    weights: str = "embedded"
    device: str = "auto"
    elevation: float = 15.0
    """Elevation of the photos in degrees; the model is not given it."""
    seed: int = 0

    def check(self) -> None:
        super().check()
        if self.objects < 1 or self.num_hypotheses < 2:
            raise InputError("--objects is at least 1 and --num-hypotheses at least 2.")
        if not 0 <= self.elevation <= 30:
            raise InputError("The handle is hidden from elevations of 0 to 30 degrees: choose --elevation there.")
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")


def known_posterior(config: KnownPosteriorConfig, model: ImageTo3D, command: str = "") -> dict[str, Any]:
    """Sample, read the hidden attribute off every hypothesis, compare with Bayes' rule; written and returned."""
    config.check()
    entries = []
    for index in range(config.objects):
        mug = make(FIRST_PROCEDURAL + index, FAMILY)
        picture = photograph(remake(mug, None).mesh, View(0.0, config.elevation, 0))
        settings = GenerationConfig(
            num_hypotheses=config.num_hypotheses,
            seed=config.seed + index,
            framing="keep",
            **config.sampling,
        )
        views, _ = model.sample(model.prepare(picture, settings), settings)
        values = classify(mug, views.select_views(slice(int(DEFAULT_RIG.photo_view), None)))
        truth = remake(mug, None).hidden.condition(config.elevation)
        entries.append({"name": f"{FAMILY}/{mug.seed}", **compare_with_truth(values, truth), "values": values})
    keys = ("total_variation", "total_variation_by_chance", "present", "present_truth", "visible_arc", "kuiper_p")
    results = {
        **provenance(command, model),
        "settings": config_to_json(config),
        "summary": {key: mean_of([entry[key] for entry in entries]) for key in keys},
        "objects": entries,
    }
    write_json(config.output, results)
    write_bytes(config.output.with_suffix(".md"), table(results, keys).encode())
    return results


def classify(mug: ProceduralObject, views: ViewSet) -> list[float | None]:
    """The handle's azimuth in each hypothesis of ``views`` [n v], or None: the value whose rendering is nearest.

    Only pixels that differ between the values count, so that another cup with the same handle is told as well.
    """
    angles = [None, *np.arange(0.0, 360.0, STEP).tolist()]
    cameras = views.cameras[0].resized(_SIZE, _SIZE)
    known = torch.stack([_features(render_mesh(remake(mug, value).mesh, cameras))[0] for value in angles])
    telling = (known.amax(0) - known.amin(0)) > 0.2
    known = known[:, telling]
    sampled = _features(views)[:, telling]
    distance = torch.cdist(sampled[None], known[None])[0]
    return [angles[k] for k in distance.argmin(1).tolist()]


def _features(views: ViewSet) -> Float[Tensor, "n d"]:
    """Colour over gray and alpha, at one size."""
    channels = torch.cat([views.composited(0.5), views.alpha], 2)
    if channels.shape[-1] != _SIZE:
        flat = torch.nn.functional.interpolate(channels.flatten(0, 1), size=(_SIZE, _SIZE), mode="area")
        channels = flat.unflatten(0, channels.shape[:2])
    return channels.flatten(1)


def compare_with_truth(values: Sequence[float | None], truth: Distribution) -> dict[str, Any]:
    """Shares of absent, visible and hidden (in equal parts of the arc) against the truth, and the angle's evenness."""
    low, high = truth.interval
    absent = math.exp(truth.log_prob(None))
    rng = np.random.default_rng(0)

    def outcome(value: float | None) -> Any:
        if value is None:
            return "absent"
        place = (value - low) / (high - low)
        return int(place * _ARC_BINS) if 0 <= place < 1 else "visible"

    # The reading is in steps: even it out, so that the tests see a continuous angle.
    values = [None if v is None else (v + rng.uniform(-STEP / 2, STEP / 2)) % 360 for v in values]
    expected = {"absent": absent, "visible": 0.0} | dict.fromkeys(range(_ARC_BINS), (1 - absent) / _ARC_BINS)
    counts = Counter(map(outcome, values))
    hidden = [v for v in values if v is not None and low <= v < high]
    statistic, p = kuiper_test([truth.cdf(v) for v in hidden]) if len(hidden) > 1 else (None, None)
    return {
        "total_variation": total_variation(counts, expected),
        "total_variation_by_chance": _chance(expected, len(values), rng),
        "present": sum(v is not None for v in values) / len(values),
        "present_truth": 1 - absent,
        "visible_arc": counts["visible"] / len(values),
        "hidden_arc": [low, high],
        "kuiper": statistic,
        "kuiper_p": p,
    }


def _chance(expected: dict[Any, float], count: int, rng: np.random.Generator) -> float:
    """Expected score of a perfect sampler with the same number of samples."""
    draws = rng.multinomial(count, list(expected.values()), size=200).tolist()
    return float(np.mean([total_variation(dict(zip(expected, row, strict=True)), expected) for row in draws]))


def table(results: dict[str, Any], keys: Sequence[str]) -> str:
    rows = [("mean", results["summary"]), *((entry["name"], entry) for entry in results["objects"])]
    text = [f"`{results['command']}`", "", "| object | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for name, row in rows:
        text.append("| " + " | ".join([name, *("–" if row[k] is None else f"{row[k]:.3f}" for k in keys)]) + " |")
    return "\n".join(text) + "\n"
