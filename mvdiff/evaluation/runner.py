"""Objects through the main job, scores to files."""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import mvdiff
from mvdiff.evaluation.cases import Case, score
from mvdiff.evaluation.config import EvaluationConfig
from mvdiff.evaluation.machine import device_name, versions
from mvdiff.evaluation.objects import ObjectSet, View, photograph
from mvdiff.evaluation.records import Records
from mvdiff.evaluation.sheet import stack, strip
from mvdiff.evaluation.summary import summarise, table
from mvdiff.photo_camera import PhotoCamera
from mvdiff.pipelines.image_to_3d import ImageTo3D, hypothesis_seed
from mvdiff.rig import DEFAULT_RIG
from recon.io.bundle import atomic_write, write_bytes, write_json
from recon.views import ViewSet

Report = Callable[[str], None]


def evaluate(config: EvaluationConfig, model: ImageTo3D, command: str = "", report: Report = print) -> dict[str, Any]:
    """Score every object that has not been scored yet; write and return what results.json holds.

    Raises :class:`recon.errors.InputError` for settings or files that cannot be used, before anything is written.
    """
    config.check()
    start = time.perf_counter()
    objects = ObjectSet(config.meshes, config.limit)
    identity = config.identity() | {
        "meshes": config.meshes.name,
        "weights": model.weights.get("sha256"),
        "reconstruction": json.loads(json.dumps(asdict(model.reconstruction))),
        "posterior": asdict(model.posterior),
        "version": mvdiff.__version__,
    }
    records = Records.open(config.output.with_suffix(".objects.jsonl"), identity, config.overwrite)
    pending = [index for index, name in enumerate(objects.names) if name not in records.entries]
    if len(pending) < len(objects):
        report(f"{len(objects) - len(pending)} of {len(objects)} objects are done already.")
    done = len(objects) - len(pending)
    for entry, picture in _scored(config, model, objects, pending):
        # The picture first: an object whose line is there is complete.
        with atomic_write(_strip_path(config.output, entry["name"])) as temporary:
            picture.save(temporary)
        records.add(entry)
        done += 1
        report(f"[{done}/{len(objects)}] {_line(entry)}")
    entries = [records.entries[name] for name in objects.names]
    results = {
        "protocol": config.protocol,
        "command": command,
        "settings": identity,
        "weights": model.weights,
        "device": device_name(model.device),
        "versions": versions(),
        "seconds": round(time.perf_counter() - start, 3),
        "summary": summarise(entries),
        "objects": entries,
    }
    _write(config, results)
    return results


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
        stack([Image.open(path) for path in strips if path.is_file()]).save(temporary)


def _strip_path(output: Path, name: str) -> Path:
    return output.with_suffix(".strips") / (re.sub(r"[^\w.-]+", "_", name) + ".png")


def _scored(
    config: EvaluationConfig, model: ImageTo3D, objects: ObjectSet, pending: Sequence[int]
) -> Iterator[tuple[dict[str, Any], Image.Image]]:
    """Entries and pictures as they are ready; with workers, scores are made while the device makes the next objects."""
    batch, workers = config.for_device(model.device.type)
    cases = (
        case
        for start in range(0, len(pending), batch)
        for case in make_cases(config, model, objects, pending[start : start + batch])
    )

    def finish(case: Case) -> tuple[dict[str, Any], Image.Image]:
        entry = score(case, config.protocol, model.posterior)
        meshes = [h.mesh for h in case.hypotheses]
        return entry, strip(_title(entry), case.reference, case.true_views(), case.sampled, meshes)

    if workers == 0:
        yield from map(finish, cases)
        return
    running: set[Future] = set()
    with _pool(workers) as pool:
        for case in cases:
            running.add(pool.submit(finish, case))
            # A case holds views and meshes: do not let them pile up.
            done, running = wait(running, None if len(running) > 2 * workers else 0, FIRST_COMPLETED)
            yield from (future.result() for future in done)
        while running:
            done, running = wait(running, None, FIRST_COMPLETED)
            yield from (future.result() for future in done)


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads (the work is in libraries that release the lock), each with one core of torch's."""
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def make_cases(config: EvaluationConfig, model: ImageTo3D, objects: ObjectSet, indices: Sequence[int]) -> list[Case]:
    """Photograph some objects and run the main job on the pictures; all their hypotheses are fitted together."""
    cases, sampled = [], []
    for index in indices:
        name, truth = objects.names[index], objects.mesh(index)
        view = View.of(name, config.seed)
        reference = photograph(truth.to(model.device), view)
        start = time.perf_counter()
        generation = config.generation(view.seed)
        sampled.append(model.sample(model.prepare(reference, generation), generation))
        seconds = {"sample": time.perf_counter() - start}
        cases.append(Case(name, view, truth, reference, (), slice(int(DEFAULT_RIG.photo_view), None), seconds))
    start = time.perf_counter()
    views = ViewSet.cat([views for views, _ in sampled])
    names = vars(sampled[0][1])
    cameras = PhotoCamera(**{name: torch.cat([getattr(camera, name) for _, camera in sampled]) for name in names})
    hypotheses = model.reconstruct(views, cameras)
    each, n = (time.perf_counter() - start) / len(cases), config.num_hypotheses
    return [
        replace(
            case,
            hypotheses=[
                replace(h, seed=hypothesis_seed(case.view.seed, k))
                for k, h in enumerate(hypotheses[place * n : (place + 1) * n])
            ],
            seconds=case.seconds | {"reconstruct": each},
        )
        for place, case in enumerate(cases)
    ]


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
