"""Benchmark of reconstruction alone: views of known objects in, scores of their meshes and times out."""

import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mvdiff.evaluation.benchmarks.machine import config_to_json, device_name, versions
from mvdiff.evaluation.benchmarks.reconstruction_config import ReconstructionBenchmarkConfig
from mvdiff.evaluation.jobs.objects import ObjectSet, View, photograph
from mvdiff.evaluation.protocols.contradictions import Contradictions
from mvdiff.evaluation.protocols.shape import THRESHOLD, Frame, Subject
from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.core.paths import is_file
from recon.core.views import ViewSet
from recon.metrics.image import psnr
from recon.metrics.shape import SurfaceComparison
from recon.objects import Reconstruction, ReconstructionConfig, reconstruct
from recon.ops.stopwatch import Stopwatch
from recon.rendering import render_mesh
from recon.surface.cleanup import is_watertight

#: The pictures from which the texture is judged: not those that it was painted from.
_NOVEL_VIEWS = 24
_STAGES = ("fuse", "fit", "surface", "texture")


@dataclass(frozen=True)
class Example:
    name: str
    truth: TexturedMesh
    views: ViewSet
    """[n v], in the photo's frame."""
    frame: Frame

    @cached_property
    def subject(self) -> Subject:
        return Subject(self.truth, self.frame)

    @cached_property
    def novel(self) -> ViewSet:
        """Pictures that nothing was painted from."""
        azimuth = torch.arange(_NOVEL_VIEWS) * (360 / _NOVEL_VIEWS)
        elevation = torch.tensor([25.0, 0.0, -15.0]).repeat(_NOVEL_VIEWS // 3)
        return render_mesh(self.truth, Cameras.orbit(azimuth, elevation, size=self.views.cameras.width))


def benchmark_reconstruction(config: ReconstructionBenchmarkConfig, command: str = "") -> dict[str, Any]:
    """Measure; returns (and writes, where ``output`` is set) a JSON-ready record."""
    config.check()
    from mvdiff.devices import pick_device

    device = pick_device(config.device)
    full = ReconstructionConfig.preset(config.preset)
    methods = {config.preset: full}
    if config.closed_form and full.fit.steps:
        closed = replace(full, fit=replace(full.fit, steps=0), carve=replace(full.carve, steps=0))
        methods = {"closed form": closed, **methods}
    entries, first = [], None
    for example in _examples(config, device):
        first = first or example
        if not config.quality:
            break
        entry = {"name": example.name} | {name: _quality(example, method) for name, method in methods.items()}
        entries.append(entry)
        shown = ", ".join(f"{name} CD {entry[name]['cd']:.4f} F {entry[name]['fscore']:.3f}" for name in methods)
        print(f"{example.name}: {shown}", file=sys.stderr, flush=True)
    result = {
        "part": "recon",
        "command": command,
        "settings": config_to_json(config),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "quality": {name: _mean([entry[name] for entry in entries]) for name in methods} if entries else {},
        "cost": [_cost(first, count, full, config.repeats) for count in sorted(set(config.num_hypotheses)) if count],
        "objects": entries,
    }
    if config.output is not None:
        from recon.io.folders import write_bytes, write_json

        write_json(config.output, result)
        write_bytes(config.output.with_suffix(".md"), reconstruction_table(result).encode())
    return result


def _examples(config: ReconstructionBenchmarkConfig, device: torch.device) -> Iterator[Example]:
    sample = _sampler(config) if config.source == "sampled" else None
    for name, mesh in _meshes(config):
        view = View.of(name, 0) if sample else View(0.0, 0.0, 0)
        if sample:
            views = sample(name, mesh, view)
        else:
            views = render_mesh(mesh, _cameras(config))
            if config.source == "inconsistent":
                views = Contradictions().applied(mesh, views, View.of(name, 0).seed % 2**31)
        if config.channels == "rgba":
            views = replace(views, depth=None, normal=None)
        yield Example(name, mesh, views.to(device), Frame.of(mesh, view))


def _meshes(config: ReconstructionBenchmarkConfig) -> Iterator[tuple[str, TexturedMesh]]:
    if config.meshes is None:
        from mvdiff.data.procedural import make

        yield from ((f"procedural/{seed}", make(seed).mesh.normalized()) for seed in range(config.limit or 8))
        return
    objects = ObjectSet(config.meshes, config.limit)
    yield from ((name, objects.mesh(k)) for k, name in enumerate(objects.names))


def _cameras(config: ReconstructionBenchmarkConfig) -> Cameras:
    count = config.views
    azimuth = torch.tensor([30.0 + 360 * k / count for k in range(count)])
    elevation = torch.tensor([20.0 if k % 2 == 0 else -10.0 for k in range(count)])
    return Cameras.orbit(azimuth, elevation, size=config.size)


def _sampler(config: ReconstructionBenchmarkConfig) -> Callable[[str, TexturedMesh, View], ViewSet]:
    """From an object's picture to ``config.sampled`` sets of views; those that the cache has are read from there."""
    from mvdiff.runs.loading import load_model
    from mvdiff.sampling.generation import GenerationConfig

    model = load_model(config.weights, config.device)
    kept = None if config.cache is None else config.cache / model.weights["sha256"][:12]

    def sample(name: str, mesh: TexturedMesh, view: View) -> ViewSet:
        settings = GenerationConfig(num_hypotheses=config.sampled, seed=view.seed, framing="keep", **config.sampling)
        run = "-".join(map(str, (settings.num_hypotheses, *config.sampling.values())))
        folder = None if kept is None else kept / f"{Path(name).name}-{run}"
        if folder is not None and is_file(folder / "views.safetensors"):
            return ViewSet.load(folder)
        views, _ = model.sample(model.prepare(photograph(mesh, view), settings), settings)
        if folder is not None:
            views.save(folder)
        return views

    return sample


def _quality(example: Example, config: ReconstructionConfig) -> dict[str, float]:
    """Means over the example's hypotheses."""
    watch = Stopwatch()
    made = reconstruct(example.views, config, watch=watch)
    count = len(made)
    scores = _mean([_scores(example, each) for each in made])
    return scores | {f"{stage}_seconds": watch.cpu_seconds[stage] / count for stage in watch.seconds}


def _scores(example: Example, made: Reconstruction) -> dict[str, float]:
    mesh = made.mesh.to("cpu").transformed(example.frame.from_photo)
    compared = SurfaceComparison.between(Subject(mesh, example.frame).surface, example.subject.surface)
    a, b, c = mesh.triangles.double().unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1) / 2
    own = render_mesh(mesh, example.novel.cameras[0])
    return {
        "cd": compared.chamfer,
        "fscore": compared.f_score(THRESHOLD),
        "normal_consistency": compared.normal_consistency,
        "watertight": float(is_watertight(mesh)),
        "manifold": float(_is_manifold(mesh)),
        "degenerate_faces": float((area < 1e-12).double().mean()) if len(mesh) else 0.0,
        "faces": float(len(mesh)),
        "parts": float(_parts(mesh)),
        "psnr": float(psnr(own.composited(1.0), example.novel.composited(1.0)).mean()),
        "residual": made.residual,
    }


def _is_manifold(mesh: TexturedMesh) -> bool:
    """As manifold3d judges it."""
    import manifold3d

    if len(mesh) == 0:
        return False
    solid = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices.numpy(), mesh.faces.numpy().astype("uint32")))
    return solid.status() == manifold3d.Error.NoError and not solid.is_empty()


def _parts(mesh: TexturedMesh) -> int:
    from recon.surface.cleanup import part_of_face

    return int(part_of_face(mesh).max()) + 1 if len(mesh) else 0


def _cost(example: Example, count: int, config: ReconstructionConfig, repeats: int) -> dict[str, Any]:
    """Views in memory to textured meshes in memory; the median of ``repeats`` after one that warms up."""
    views = ViewSet.cat([example.views[k % len(example.views)] for k in range(count)])
    on_gpu = views.device.type == "cuda"
    runs = []
    for turn in range(repeats + 1):
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(views.device)
        watch = Stopwatch()
        with watch.stage("total"):
            reconstruct(views, config, watch=watch)
        runs.append(watch)
        spent = ", ".join(f"{stage} {watch.seconds[stage]:.2f} s" for stage in ("total", *_STAGES))
        print(f"{'run' if turn else 'warm-up'} N = {count}: {spent}", file=sys.stderr, flush=True)
    counted = runs[1:]
    stages = (*_STAGES, "total")
    unit = 1e9 if sys.platform == "darwin" else 1e6  # macOS counts bytes, Linux kilobytes
    cost = {
        "num_hypotheses": count,
        "seconds": {s: statistics.median(w.seconds[s] for w in counted) for s in stages},
        "cpu_seconds": {s: statistics.median(w.cpu_seconds[s] for w in counted) for s in stages},
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    }
    if on_gpu:
        cost["gpu_memory_gb"] = torch.cuda.max_memory_allocated(views.device) / 1e9
    return cost


def _mean(entries: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.fmean(entry[key] for entry in entries) for key in entries[0]}


def reconstruction_table(result: dict[str, Any]) -> str:
    """Markdown: quality by method, then cost by number of hypotheses."""
    lines = [
        f"`{result['command']}`: {result['device']}, {result['threads']} threads, torch {result['versions']['torch']}"
    ]
    methods = result["quality"]
    if methods:
        digits = {"cd": 5, "residual": 5, "degenerate_faces": 6, "faces": 0, "psnr": 2}
        lines += ["", f"| mean of {len(result['objects'])} objects | " + " | ".join(methods) + " |"]
        lines.append("|---" * (len(methods) + 1) + "|")
        for key in next(iter(methods.values())):
            values = [f"{scores.get(key, 0.0):.{digits.get(key, 4)}f}" for scores in methods.values()]
            lines.append(f"| {key} | " + " | ".join(values) + " |")
    if result["cost"]:
        costs = result["cost"]
        lines += ["", "| hypotheses | " + " | ".join(str(c["num_hypotheses"]) for c in costs) + " |"]
        lines.append("|---" * (len(costs) + 1) + "|")
        for kind, label in (("seconds", "s"), ("cpu_seconds", "processor s")):
            for stage in (*_STAGES, "total"):
                lines.append(f"| {stage}, {label} | " + " | ".join(f"{c[kind][stage]:.2f}" for c in costs) + " |")
        for key, label in (("memory_gb", "peak memory, GB"), ("gpu_memory_gb", "peak GPU memory, GB")):
            if key in costs[0]:
                lines.append(f"| {label} | " + " | ".join(f"{c[key]:.2f}" for c in costs) + " |")
    return "\n".join(lines) + "\n"
