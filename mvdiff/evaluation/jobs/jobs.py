"""Known objects through the main job, with the work on its results beside it."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import Any, TypeVar

import torch

import mvdiff
from mvdiff.data.render.workers import Workers, deaths_told, worker_number
from mvdiff.evaluation.benchmarks.machine import config_to_json
from mvdiff.evaluation.config import JobConfig
from mvdiff.evaluation.jobs.cases import Case
from mvdiff.evaluation.jobs.objects import ObjectSet, View, photograph
from mvdiff.evaluation.jobs.records import Records
from mvdiff.evaluation.protocols.baselines import baseline_meshes
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.calibrations import owner_of
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.rig import DEFAULT_RIG
from mvdiff.sampling.sampler import Sampled, SelfJudging
from mvdiff.weights import packing
from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.ops.parallel import worker_threads

Result = TypeVar("Result")
#: Scores a case, or learns from it.
Finish = Callable[[Case, Any, ImageTo3D], Result]


def identity_of(config: JobConfig, model: ImageTo3D) -> dict[str, Any]:
    """Everything that the numbers depend on, the model included."""
    sha256 = model.weights.get("sha256")
    return config.identity() | {
        "weights": sha256 if set(owner_of(model.weights)) <= {sha256, None} else owner_of(model.weights),
        "reconstruction": config_to_json(model.reconstruction),
        "posterior": asdict(model.posterior),
        "version": mvdiff.__version__,
    }


def remaining(
    config: JobConfig,
    model: ImageTo3D,
    objects: ObjectSet,
    records: Records,
    finish: Finish[Result],
    report: Callable[[str], None],
) -> Iterator[tuple[str, Result]]:
    """Yield the index and the result of ``finish`` for each object that is not in ``records``."""
    pending = [index for index, name in enumerate(objects.names) if name not in records.entries]
    done = len(objects) - len(pending)
    if done:
        report(f"{done} of {len(objects)} objects are done already.")
    for number, result in enumerate(evaluate_pending(config, model, objects, pending, finish), done + 1):
        yield f"[{number}/{len(objects)}]", result


def evaluate_pending(
    config: JobConfig,
    model: ImageTo3D,
    objects: ObjectSet,
    pending: Sequence[int],
    finish: Finish[Result],
) -> Iterator[Result]:
    """Yield the result of ``finish`` for each case as it gets ready; it must be importable by other processes.

    With workers that happens while the device makes the next objects; with processes each makes its own objects.
    """
    if config.processes > 1:
        yield from _in_processes(config, model, objects, pending, finish)
        return
    batch, workers = config.for_device(model.device.type)
    cases = (
        case
        for start in range(0, len(pending), batch)
        for case in make_cases(config, model, objects, pending[start : start + batch])
    )
    if workers == 0:
        yield from (finish(case, config, model) for case in cases)
        return
    # Threads, as the work is in libraries that release the lock.
    with worker_threads(workers) as pool:
        yield from _as_ready(lambda case: pool.submit(finish, case, config, model), cases, 2 * workers)


def _as_ready(submit: Callable[[Any], Future], items: Iterable[Any], ahead: int) -> Iterator[Any]:
    """Results in any order. What is worked on and what waits to be taken holds views and meshes: at most ``ahead``."""
    running: set[Future] = set()
    for item in items:
        running.add(submit(item))
        done, running = wait(running, None if len(running) > ahead else 0, FIRST_COMPLETED)
        yield from (future.result() for future in done)
    while running:
        done, running = wait(running, None, FIRST_COMPLETED)
        yield from (future.result() for future in done)


def _in_processes(
    config: JobConfig, model: ImageTo3D, objects: ObjectSet, pending: Sequence[int], finish: Finish[Result]
) -> Iterator[Result]:
    if packing.weights_hash(packing.resolve(config.weights)) != model.weights.get("sha256"):
        raise InputError("Processes load the weights that the settings name: set them to those to judge.")
    settings = {name: getattr(model, name) for name in ("reconstruction", "posterior", "calibrations")}
    work = partial(_made_and_finished, config, visible_devices(config.device), settings, finish)
    with Workers(min(config.processes, max(len(pending), 1))) as workers, deaths_told():
        own = (objects.only(index) for index in pending)
        yield from _as_ready(lambda one: workers.submit(work, one), own, 2 * workers.count)


def visible_devices(wanted: str) -> tuple[str, ...]:
    """Values of CUDA_VISIBLE_DEVICES for processes that share the GPUs; empty if one GPU was named."""
    if wanted not in ("auto", "cuda"):
        return ()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return tuple(named.split(",")[:count]) if named else tuple(map(str, range(count)))


def _made_and_finished(
    config: JobConfig, devices: tuple[str, ...], settings: dict[str, Any], finish: Finish[Result], one: ObjectSet
) -> Result:
    """In a process, which keeps its model for the next object."""
    model = replace(_own_model(config, devices), **settings)
    return finish(make_cases(config, model, one, [0])[0], config, model)


@lru_cache(maxsize=1)
def _own_model(config: JobConfig, devices: tuple[str, ...]) -> ImageTo3D:
    if devices:  # before CUDA starts here: one GPU is all that this process knows
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[worker_number() % len(devices)]
    return config.load()


def self_errors(model: ImageTo3D, reference: ReferenceImage, sampled: Sampled) -> dict[str, float]:
    """The sampler's own errors on a photo; none where it cannot judge itself."""
    return model.sampler.self_errors(reference, sampled) if isinstance(model.sampler, SelfJudging) else {}


def make_cases(config: JobConfig, model: ImageTo3D, objects: ObjectSet, indices: Sequence[int]) -> list[Case]:
    """Photograph some objects and run the main job on the pictures; all their hypotheses are fitted together."""
    cases, sampled, references = [], [], []
    for index in indices:
        name, truth = objects.names[index], objects.mesh(index)
        view = View.of(name, config.seed)
        reference = photograph(truth.to(model.device), view)
        start = time.perf_counter()
        generation = config.generation(view.seed)
        prepared = model.prepare(reference, generation)
        sampled.append(model.sample(prepared, generation))
        references += [prepared] * config.num_hypotheses
        seconds = {"sample": time.perf_counter() - start}
        novelty = self_errors(model, prepared, sampled[-1]) if config.judges_novelty else {}
        rig_views = slice(int(DEFAULT_RIG.photo_view), None)
        case = Case(
            name, view, truth, reference, (), rig_views, seconds, novelty, photo_cameras=sampled[-1].photo_cameras
        )
        if config.makes_baselines:
            meshes = baseline_meshes(model, prepared, sampled[-1].views, generation, rig_views)
            case = replace(case, baselines=meshes)
        cases.append(case)
    start = time.perf_counter()
    together = Sampled(
        ViewSet.cat([each.views for each in sampled]),
        PhotoCamera.cat([each.photo_cameras for each in sampled]),
        tuple(shape for each in sampled for shape in each.shapes),
    )
    views = together.views
    if config.geometry_only and not together.shapes:
        fields = model.fields(views).to("cpu")
        each, n = (time.perf_counter() - start) / len(cases), config.num_hypotheses
        return [
            replace(
                case,
                fields=fields[place * n : (place + 1) * n],
                sampled_views=views[place * n : (place + 1) * n],
                seconds=case.seconds | {"fit": each},
            )
            for place, case in enumerate(cases)
        ]
    hypotheses = model.hypotheses(together, reference=references)
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
