"""Protocol P2 (EVALUATION), information: a photo from the chosen next view against one from a random view."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from mvdiff.evaluation.benchmarks.machine import provenance
from mvdiff.evaluation.config import JobConfig
from mvdiff.evaluation.jobs.cases import Case, chamfer
from mvdiff.evaluation.jobs.jobs import identity_of, remaining
from mvdiff.evaluation.jobs.objects import ObjectSet, photograph
from mvdiff.evaluation.jobs.records import Records
from mvdiff.evaluation.protocols.shape import Subject
from mvdiff.evaluation.summary import mean_of, standard_error
from mvdiff.runs.evidence import SecondPhoto
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.runs.refine import resample_with
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import write_bytes, write_json
from recon.posterior import Posterior
from recon.posterior.conditioning import condition, uncertainty_record
from recon.posterior.next_view import NextView, NextViewConfig, next_view

Report = Callable[[str], None]
#: What is known before a second photo, and after each.
MEASURES = {
    "entropy_bits": "entropy of the index, bits",
    "occupancy_bits": "entropy of the occupancy, bits times volume",
    "effective_size": "effective hypotheses",
    "cd": "mean Chamfer distance",
}
#: Ratios of what is left after the chosen view to what is left after random ones, and of which values.
RATIOS = {
    "entropy_ratio": "entropy_bits",
    "expected_ratio": "expected_bits",
    "occupancy_ratio": "occupancy_bits",
    "occupancy_ratio_resampled": "occupancy_bits_resampled",
}


@dataclass(frozen=True)
class SecondPhotoConfig(JobConfig):
    meshes: Path
    """Folder of GLB, OBJ, PLY or STL files, or a mesh pack (.npz)."""
    output: Path = Path("second_photo.json")
    """Beside it: .md (table) and .objects.jsonl (one line for each finished object)."""
    randoms: int = 4
    """Random views that the chosen one is compared with, from its own candidates."""
    resample: bool = True
    """Also sample new hypotheses with the photo of the chosen view and with that of the first random one."""
    workers: tyro.conf.Suppress[int | None] = field(default=0, kw_only=True)
    """None: judging samples new hypotheses, and the device's model serves one at a time."""

    def load(self) -> ImageTo3D:
        return super().load(calibration="none")  # as a refined run, whose statements no calibration fits

    def check(self) -> None:
        super().check()
        if self.num_hypotheses < 2:
            raise InputError("A second photo needs several hypotheses to choose from: pass --num-hypotheses 2 or more.")
        most = len(NextViewConfig().elevations) * NextViewConfig().azimuths
        if not 1 <= self.randoms <= most:
            raise InputError(f"--randoms lies between 1 and {most}, the number of candidates, not {self.randoms}.")
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")


def judge_second_photos(
    config: SecondPhotoConfig, model: ImageTo3D, command: str = "", report: Report = print
) -> dict[str, Any]:
    """Take the second photos of every object that has none yet; write and return what is known after them.

    Raises :class:`InputError` for settings or files that cannot be used, before anything is written.
    """
    config.check()
    start = time.perf_counter()
    objects = ObjectSet(config.meshes, config.limit)
    identity = identity_of(config, model) | {"meshes": config.meshes.name}
    records = Records.open(config.output.with_suffix(".objects.jsonl"), identity, config.overwrite)
    for place, entry in remaining(config, model, objects, records, second_photo_entry, report):
        records.add(entry)
        report(f"{place} {_line(entry)}")
    entries = [records.entries[name] for name in objects.names]
    results = {
        **provenance(command, model),
        "settings": identity,
        "seconds": round(time.perf_counter() - start, 3),
        "summary": summarise(entries),
        "objects": entries,
    }
    title = f"{config.meshes.name}, second photos, N = {config.num_hypotheses}, seed {config.seed}"
    write_json(config.output, results)
    write_bytes(config.output.with_suffix(".md"), table(results, title).encode())
    return results


def second_photo_entry(case: Case, config: SecondPhotoConfig, model: ImageTo3D) -> dict[str, Any]:
    """The object's entry, JSON-ready: what is known before a second photo, after the chosen one, after random ones."""
    name = {"name": case.name, "azimuth": case.view.azimuth, "elevation": case.view.elevation}
    if sum(len(h.mesh) > 0 for h in case.hypotheses) < 2:
        return name | {"problem": "fewer than two hypotheses have a surface"}
    truth = Subject(case.truth, case.frame)
    generation = config.generation(case.view.seed)
    # As ``mvdiff refine`` does, whose new hypotheses have seeds of their own.
    refined = replace(generation, seed=generation.seed + 1)
    meshes = [h.mesh for h in case.hypotheses]
    posterior = model.infer([replace(h, views=None) for h in case.hypotheses], generation)
    distances = _distances(meshes, truth)
    plan = next_view(meshes, posterior.weights, num_views=1)
    reference, views = model.prepare(case.reference, generation), []
    for rank, (row, column) in enumerate([plan.chosen[0], *random_views(plan, config.randoms, case.view.seed)]):
        azimuth, elevation = float(plan.azimuths[column]), float(plan.elevations[row])
        photo = second_photo(case, azimuth, elevation, config, model)
        shown = photo.evidence(model, refined.seed)
        conditioned = condition(meshes, posterior.weights, shown)
        entry = {
            "kind": "random" if rank else "chosen",
            "azimuth": azimuth,
            "elevation": elevation,
            "expected_bits": max(plan.entropy - float(plan.information[row, column]), 0.0),
            "temperature": conditioned.temperature,
            "weights": conditioned.weights.tolist(),
            **known(replace(posterior, weights=conditioned.weights), distances),
        }
        if config.resample and rank < 2:
            found = resample_with(model, reference, refined, photo, case.photo_cameras, conditioned.weights, shown)
            entry["resampled"] = known(found.posterior, _distances([h.mesh for h in found.hypotheses], truth))
        views.append(entry)
    before = known(posterior, distances)
    expected = {"expected_bits_chosen": plan.left_after_best, "expected_bits_random": plan.left_after_random}
    return name | _flat(before, views) | expected | {"distances": distances.tolist(), "views": views}


def second_photo(
    case: Case, azimuth: float, elevation: float, config: SecondPhotoConfig, model: ImageTo3D
) -> SecondPhoto:
    """The true object from ``azimuth`` degrees around it from the first photo; the elevation is told, too."""
    view = replace(case.view, azimuth=case.view.azimuth + azimuth, elevation=elevation)
    picture = photograph(case.truth.to(model.device), view)
    return SecondPhoto(model.prepare(picture, config.generation(view.seed)), azimuth, elevation)


def random_views(plan: NextView, count: int, seed: int) -> list[tuple[int, int]]:
    """(elevation index, azimuth index) of different candidates, the chosen one as likely as any other."""
    height, width = plan.information.shape
    drawn = np.random.default_rng(seed).choice(height * width, count, replace=False)
    return [divmod(index, width) for index in drawn.tolist()]


def known(posterior: Posterior, distances: Float[Tensor, "n"]) -> dict[str, float]:
    """:data:`MEASURES`: of the index and of the volume, as ``mvdiff refine`` states them, and of the truth."""
    votes = uncertainty_record(posterior)
    return {
        "entropy_bits": votes["index_entropy_bits"],
        "occupancy_bits": votes["occupancy_entropy"],
        "effective_size": votes["effective_size"],
        "cd": float(posterior.weights @ distances),
    }


def _distances(meshes: Sequence[TexturedMesh], truth: Subject) -> Float[Tensor, "n"]:
    return torch.tensor([chamfer(mesh, truth) for mesh in meshes])


def _flat(before: Mapping[str, float], views: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """One number for each measure before, after the chosen and, on average, after a random photo."""
    found = {f"{key}_before": before[key] for key in MEASURES}
    for kind in ("chosen", "random"):
        own = [view for view in views if view["kind"] == kind]
        found |= {f"{_stem(key, 'reweighted')}_{kind}": mean_of([view[key] for view in own]) for key in MEASURES}
        again = [view["resampled"] for view in own if "resampled" in view]
        if again:
            found |= {f"{_stem(key, 'resampled')}_{kind}": mean_of([view[key] for view in again]) for key in MEASURES}
    return found


def _stem(measure: str, how: str) -> str:
    """Distances always tell how they came about; the rest is of the reweighted hypotheses unless told."""
    return measure if how == "reweighted" and measure != "cd" else f"{measure}_{how}"


def summarise(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over objects, and ratios of these means."""
    judged = [entry for entry in entries if "problem" not in entry]
    summary: dict[str, Any] = {"objects": len(judged), "left_out": len(entries) - len(judged)}
    if not judged:
        return summary
    compared = [key for key in judged[0] if key.endswith(("_before", "_chosen", "_random"))]
    summary |= {key: mean_of([entry[key] for entry in judged]) for key in compared}
    for ratio, key in RATIOS.items():
        chosen, random = (summary.get(f"{key}_{kind}") for kind in ("chosen", "random"))
        summary[ratio] = chosen / random if chosen is not None and random else None
    saved = [entry["entropy_bits_random"] - entry["entropy_bits_chosen"] for entry in judged]
    summary["entropy_bits_saved"] = mean_of(saved)
    summary["entropy_bits_saved_standard_error"] = standard_error(saved)
    return summary


def table(results: Mapping[str, Any], title: str) -> str:
    """Markdown: before, after the chosen and after random photos; then one row for each object."""
    summary = results["summary"]
    text = [f"# {title}", "", f"`{results['command']}`", ""]
    text += [f"{summary['objects']} objects; {summary['left_out']} left out.", ""]
    text += ["| left after the second photo | before | chosen view | random view | ratio |", "|---|---|---|---|---|"]
    rows = [("entropy of the index, expected, bits", "entropy_bits_before", "expected_bits")]
    for how, words in (("reweighted", "old hypotheses reweighted"), ("resampled", "resampled")):
        rows += [(f"{names}, {words}", f"{key}_before", _stem(key, how)) for key, names in MEASURES.items()]
    for words, before, key in rows:
        chosen, random = (summary.get(f"{key}_{kind}") for kind in ("chosen", "random"))
        if chosen is not None:
            ratio = chosen / random if random else None
            text.append(f"| {words} | " + " | ".join(map(_shown, (summary[before], chosen, random, ratio))) + " |")
    columns = ("entropy_bits", "expected_bits", "occupancy_bits", "cd_reweighted", "cd_resampled")
    keys = [f"{key}_{kind}" for key in columns for kind in ("chosen", "random") if f"{key}_{kind}" in summary]
    text += ["", "| object | chosen azimuth | elevation | " + " | ".join(key.replace("_", " ") for key in keys) + " |"]
    text += ["|---" * (len(keys) + 3) + "|"]
    for entry in results["objects"]:
        if "problem" in entry:
            text.append(f"| {entry['name']}: {entry['problem']} |" + " |" * (len(keys) + 2))
            continue
        first = entry["views"][0]
        cells = [entry["name"], f"{first['azimuth']:.1f}", f"{first['elevation']:.0f}"]
        text.append("| " + " | ".join(cells + [_shown(entry[key]) for key in keys]) + " |")
    return "\n".join(text) + "\n"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _line(entry: Mapping[str, Any]) -> str:
    if "problem" in entry:
        return f"{entry['name']}: {entry['problem']}"
    return (
        f"{entry['name']}: {entry['entropy_bits_before']:.2f} bits, after the chosen view "
        f"{entry['entropy_bits_chosen']:.2f} ({entry['expected_bits_chosen']:.2f} expected), after a random one "
        f"{entry['entropy_bits_random']:.2f} ({entry['expected_bits_random']:.2f})"
    )
