"""Objects through the main job, scores to files."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from mvdiff.evaluation.benchmarks.machine import provenance
from mvdiff.evaluation.config import EvaluationConfig
from mvdiff.evaluation.jobs.cases import Case, score
from mvdiff.evaluation.jobs.jobs import identity_of, remaining
from mvdiff.evaluation.jobs.objects import ObjectSet
from mvdiff.evaluation.jobs.records import Records
from mvdiff.evaluation.sheet import stack, strip
from mvdiff.evaluation.summary import summarise, table
from mvdiff.runs.image_to_3d import ImageTo3D
from recon.core.paths import is_file
from recon.io.folders import atomic_write, write_bytes, write_json

Report = Callable[[str], None]


def evaluate(config: EvaluationConfig, model: ImageTo3D, command: str = "", report: Report = print) -> dict[str, Any]:
    """Score every object that has not been scored yet; write and return what results.json holds.

    Raises :class:`recon.core.errors.InputError` for settings or files that cannot be used, before anything is written.
    """
    config.check()
    start = time.perf_counter()
    objects = ObjectSet(config.meshes, config.limit)
    identity = identity_of(config, model) | {
        "meshes": config.meshes.name,
        "lora": model.weights.get("lora_sha256"),
        "calibration": _calibration_name(config, model),
    }
    records = Records.open(config.output.with_suffix(".objects.jsonl"), identity, config.overwrite)
    for place, (entry, picture) in remaining(config, model, objects, records, _scored, report):
        # The picture first: an object whose line is there is complete.
        with atomic_write(_strip_path(config.output, entry["name"])) as temporary:
            picture.save(temporary)
        records.add(entry)
        report(f"{place} {_line(entry)}")
    entries = [records.entries[name] for name in objects.names]
    results = {
        "protocol": config.protocol,
        **provenance(command, model),
        "settings": identity,
        "seconds": round(time.perf_counter() - start, 3),
        "summary": summarise(entries),
        "objects": entries,
    }
    _write(config, results)
    return results


def _calibration_name(config: EvaluationConfig, model: ImageTo3D) -> str | None:
    calibration, _ = model.calibrations.choose(config.framing, {})
    return None if calibration is None else calibration.name


def _write(config: EvaluationConfig, results: dict[str, Any]) -> None:
    title = (
        f"{config.meshes.name}, protocol {config.protocol.upper()}, N = {config.num_hypotheses}, "
        f"framing {config.framing}, seed {config.seed}"
    )
    write_json(config.output, results)
    text = table(results["summary"], results["objects"], title, results["command"])
    write_bytes(config.output.with_suffix(".md"), text.encode())
    strips = [_strip_path(config.output, entry["name"]) for entry in results["objects"]]
    with atomic_write(config.output.with_suffix(".png")) as temporary:
        stack([Image.open(path) for path in strips if is_file(path)]).save(temporary)


def _strip_path(output: Path, name: str) -> Path:
    return output.with_suffix(".strips") / (re.sub(r"[^\w.-]+", "_", name) + ".png")


def _scored(case: Case, config: EvaluationConfig, model: ImageTo3D) -> tuple[dict[str, Any], Image.Image]:
    """Entry and picture."""
    calibration, _ = model.calibrations.choose(config.framing, {})
    entry = score(case, config.protocol, model.posterior, calibration=calibration)
    meshes = [h.mesh for h in case.hypotheses]
    return entry, strip(_title(entry), case.reference, case.true_views(), case.sampled, meshes)


def _line(entry: dict[str, Any]) -> str:
    cd, iou = entry["cd"], entry["iou"]
    return (
        f"{entry['name']}: CD {sum(cd) / len(cd):.4f} (best {min(cd):.4f}), IoU {sum(iou) / len(iou):.3f}, "
        f"mask IoU {sum(entry['mask_iou']) / len(cd):.3f}, {sum(entry['seconds'].values()):.2f} s"
    )


def _title(entry: dict[str, Any]) -> str:
    return "\n".join(
        [
            entry["name"][:15],
            f"az {entry['azimuth']:.0f} el {entry['elevation']:.0f}",
            *(f"{k}: cd {cd:.3f}" for k, cd in enumerate(entry["cd"][:8])),
        ]
    )
