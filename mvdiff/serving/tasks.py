"""The work of each kind of job, inside a worker process."""

import resource
import shutil
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.serving.photos import PhotoFolder
from mvdiff.serving.previews import PreviewSheet
from recon.core.errors import InputError
from recon.core.paths import inside
from recon.io.folders import OutputFolder

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D
    from mvdiff.serving.worker import Desk


@dataclass(frozen=True)
class Sampling:
    """A model, and the jobs that need it."""

    desk: "Desk"
    output_dir: Path
    state_dir: Path
    model: "ImageTo3D"

    @staticmethod
    def load(desk: "Desk", output_dir: Path, state_dir: Path, options: dict[str, Any]) -> "Sampling":
        from mvdiff.runs.loading import load_model

        return Sampling(desk, output_dir, state_dir, load_model(**options))

    def info(self) -> dict[str, Any]:
        """Facts that the pages show."""
        own = self.model.sampler.info
        return {
            "device": str(self.model.device),
            "backbone": own.name,
            "licence": own.licence,
            "weights": str(own.weights.get("name", "")),
            "conditions": sorted(own.conditions),
        }

    def memory(self) -> dict[str, int]:
        """Memory of this process in bytes, and the GPU's peak since the last call."""
        used = {"memory": _resident()}
        if self.model.device.type == "cuda":
            import torch

            used["gpu_memory"] = torch.cuda.max_memory_allocated(self.model.device)
            torch.cuda.reset_peak_memory_stats(self.model.device)
        return used

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Fill the run folder of a task."""
        request = dict(task["request"])
        model = self._watched(request.pop("preset"), task["id"], request.get("candidates", 2))
        target = inside(self.output_dir, task["run"])
        work = {"generate": self._generate, "feedback": self._feedback, "refine": self._refine}
        notes = work[task["kind"]](model, target, request)
        return {"notes": notes}

    def _watched(self, preset: str, job_id: str, candidates: int) -> "ImageTo3D":
        """The model with a quality of reconstruction, drawing previews of this job."""
        from mvdiff.sampling.sampler import Watchable
        from recon import ReconstructionConfig

        sampler = self.model.sampler
        if isinstance(sampler, Watchable):
            sheet = PreviewSheet(self.state_dir / "jobs" / job_id, candidates, self.desk)
            sampler = sampler.watched(sheet.draw)
        return replace(self.model, sampler=sampler, reconstruction=ReconstructionConfig.preset(preset))

    def _generate(self, model: "ImageTo3D", target: Path, request: dict[str, Any]) -> list[str]:
        from mvdiff.sampling.generation import GenerationConfig

        photo = PhotoFolder.find(self.state_dir, request.pop("photo"))
        config = GenerationConfig(**request)
        config.check()
        reference = model.prepare(photo.source, config)
        self.desk.check()
        model.generate(photo.picture, target, progress=self.desk.progress, reference=reference, **request)
        return list(reference.matte.warnings)

    def _feedback(self, model: "ImageTo3D", target: Path, request: dict[str, Any]) -> list[str]:
        from mvdiff.runs.refine import feedback

        feedback(model, inside(self.output_dir, request.pop("run")), target, progress=self.desk.progress, **request)
        return []

    def _refine(self, model: "ImageTo3D", target: Path, request: dict[str, Any]) -> list[str]:
        from mvdiff.runs.evidence import SecondPhoto
        from mvdiff.runs.refine import refine

        photo = PhotoFolder.find(self.state_dir, request.pop("photo"))
        reference = model.prepare(photo.source)
        place = [request.pop(name) for name in ("azimuth", "elevation", "azimuth_tolerance")]
        evidence = SecondPhoto(reference, *place)
        run = inside(self.output_dir, request.pop("run"))
        refine(model, run, evidence, target, progress=self.desk.progress, **request)
        return list(reference.matte.warnings)


@dataclass(frozen=True)
class Exporter:
    """The jobs that need no model, so that they do not wait for one."""

    desk: "Desk"
    output_dir: Path
    state_dir: Path

    def info(self) -> dict[str, Any]:
        return {"device": "cpu"}

    def memory(self) -> dict[str, int]:
        return {"memory": _resident()}

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Write one object of a run in another format; several files are packed into one archive."""
        from recon.io.export import FORMATS, PRINTED, export, files_of
        from recon.io.meshes.printing import check_print

        request = task["request"]
        form, item = request["format"], request["hypothesis"]
        self.desk.progress("export", 0, 1)
        mesh = load_item(inside(self.output_dir, request["run"]), item)
        name = "median" if item is None else f"hypothesis-{item:03d}"
        folder = self.state_dir / "jobs" / task["id"]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = folder / f"{name}{FORMATS[form][0]}"
        export(mesh, path, form, size_mm=request["size_mm"])
        notes = [check_print(mesh, request["size_mm"]).text()] if form in PRINTED else []
        files = files_of(mesh, path, form)
        if len(files) > 1:
            files = [_pack(folder / f"{name}-{form}.zip", files)]
        self.desk.progress("export", 1, 1)
        return {"files": [each.name for each in files], "notes": notes}


def load_item(run: Path, item: int | None) -> Any:
    """One hypothesis of a complete run, or the posterior's median shape."""
    from recon.io.meshes.files import READABLE, load_mesh

    manifest = OutputFolder(run, resumed=True).manifest
    if not manifest["complete"]:
        raise InputError(f"The run '{run.name}' is not complete: wait for its end.")
    stem = "posterior" if item is None else f"hypotheses/{item:03d}"
    names = [each for each in manifest["files"] if Path(each).suffix in READABLE and each.startswith(f"{stem}.")]
    if not names:
        raise InputError(f"The run '{run.name}' has no {'posterior' if item is None else f'hypothesis {item}'}.")
    return load_mesh(inside(run, names[0]))


def _pack(path: Path, files: list[Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return path


def _resident() -> int:
    """Memory of this process in bytes: now where Linux tells, else its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
