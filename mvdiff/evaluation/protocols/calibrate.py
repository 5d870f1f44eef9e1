"""Known objects to the calibration of a model's uncertainty."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import mvdiff
from mvdiff.evaluation.config import CalibrationConfig
from mvdiff.evaluation.jobs.cases import Case
from mvdiff.evaluation.jobs.jobs import evaluate_pending, identity_of
from mvdiff.evaluation.jobs.objects import ObjectSet
from mvdiff.evaluation.jobs.records import Records
from mvdiff.evaluation.protocols.shape import Subject
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.calibrations import save_calibrations, settings_of
from recon.ops.voxelize import mesh_distance
from recon.posterior import Posterior, PosteriorConfig
from recon.posterior.calibration import Calibration
from recon.posterior.conformal import COUNTS, fit, groups, observe

Report = Callable[[str], None]
#: Meshes from which on procedural objects are not asked about shapes: as many as it takes to state 95 %.
_ENOUGH = 20


def calibrate(
    config: CalibrationConfig, model: ImageTo3D, command: str = "", report: Report = print
) -> dict[str, Calibration]:
    """Fit and write one calibration for each framing; objects that were seen before are not run again.

    Raises :class:`recon.core.errors.InputError` for settings or files that cannot be used, before anything is written.
    """
    config.check()
    objects = ObjectSet(config.meshes, config.limit, config.holdout_every, config.procedural)
    records = Records.open(config.output.with_suffix(".objects.jsonl"), identity_of(config, model), config.overwrite)
    # The file may be published: names, not the places on this machine.
    weights = model.weights | {"name": Path(model.weights["name"]).name}
    start, found = time.perf_counter(), {}
    for framing in config.framings:
        settings = replace(config, framing=framing)
        pending = [k for k, name in enumerate(objects.names) if _key(framing, name) not in records.entries]
        done = len(objects) - len(pending)
        for entry in evaluate_pending(settings, model, objects, pending, _learnt_from):
            records.add(entry)
            done += 1
            seconds = time.perf_counter() - start
            report(f"[{framing} {done}/{len(objects)}] {entry['name']}: {_line(entry)}; {seconds:.0f} s")
        entries = {name: records.entries[_key(framing, name)] for name in objects.names}
        # Procedural objects are what the model knows best, and nobody photographs them: with them, real things would be
        # promised too much. What a photo of something known looks like, they do tell.
        real = {name: entry for name, entry in entries.items() if name not in objects.procedural}
        asked = real if len(real) >= _ENOUGH else entries
        used = {name: entry["counts"] for name, entry in asked.items() if entry["counts"]}
        provenance = {
            "objects": list(used),
            "left_out": {name: entry["problem"] for name, entry in asked.items() if name not in used},
            "known": len(entries),
            "framing": framing,
            "num_hypotheses": config.num_hypotheses,
            "seed": config.seed,
            "settings": settings_of(
                config.generation(config.seed), model.reconstruction, "depth" in model.sampler.info.channels
            ),
            "weights": weights,
            "version": mvdiff.__version__,
            "command": command,
            "exchangeability": (
                "Pictures are unlit renderings on nothing, from elevations of 0 to 30 degrees, by the default lens; "
                "what is stated holds for objects and pictures drawn as these were, on average over objects."
            ),
        }
        novelties = [entry["novelty"] for entry in entries.values()]
        scores = {score: [novelty[score] for novelty in novelties] for score in novelties[0]}
        found[framing] = fit(list(used.values()), provenance, scores)
    save_calibrations(config.output, found, weights)
    return found


def observed(case: Case, posterior: PosteriorConfig) -> dict[str, Any]:
    """Evidence for the calibration: statements of the posteriors of 1, 2, 4, … hypotheses beside the truth."""
    frame = case.frame
    kept = [replace(h, views=None) for h in case.hypotheses if len(h.mesh)]
    if not kept:
        return {"counts": {}, "problem": "every hypothesis is empty", "novelty": dict(case.novelty)}
    surface = Subject(case.truth, frame).surface.points / frame.scale @ frame.from_photo[:3, :3]
    truth = case.truth.transformed(torch.linalg.inv(frame.from_photo))
    whole = Posterior.from_hypotheses(kept, posterior)
    distance = mesh_distance(truth, whole.grid)
    counts = {}
    for count in COUNTS:
        if count <= len(kept):
            own = [whole if len(group) == len(kept) else whole.subset(group) for group in groups(count, len(kept))]
            counts[str(count)] = [observe(each, distance, surface) for each in own]
    return {"counts": counts, "problem": None, "novelty": dict(case.novelty), "seconds": case.seconds}


def _learnt_from(case: Case, config: CalibrationConfig, model: ImageTo3D) -> dict[str, Any]:
    return observed(case.meshed(model.reconstruction), model.posterior) | {"name": _key(config.framing, case.name)}


def _key(framing: str, name: str) -> str:
    return f"{framing}:{name}"


def _line(entry: dict[str, Any]) -> str:
    if not entry["counts"]:
        return entry["problem"]
    most = max(entry["counts"], key=int)
    errors = [error for one in entry["counts"][most] for error in one["band"]["error"]]
    return f"surface {sum(errors) / len(errors):.4f} from the median of {most}"


def summary_lines(calibrations: dict[str, Calibration]) -> list[str]:
    """Coverage of the calibrations on objects left out of the fit."""
    lines = []
    for framing, calibration in calibrations.items():
        for count, found in calibration.held_out.items():
            shown = [
                f"{kind} {row['level']:.0%} cover {row['coverage']:.1%} (width {row['width']:.4f})"
                for kind in ("band", "intervals")
                for row in found[kind]
                if row["level"] in (0.5, 0.9)
            ]
            p = found["probability"]
            brier = 1 - p["brier"] / p["brier_single"] if p["brier_single"] else 0.0
            shown.append(f"ECE {p['ece']:.4f}, Brier {brier:.0%} below one guess")
            lines.append(f"{framing}, N = {count}, {found['objects']} objects: " + "; ".join(shown))
    return lines
