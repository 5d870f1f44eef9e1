"""The jobs that need the model, inside a worker process."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.serving.memory import resident_bytes
from mvdiff.serving.photos import PhotoFolder
from mvdiff.serving.previews import PreviewSheet
from recon.core.paths import inside

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
            "license": own.license,
            "weights": str(own.weights.get("name", "")),
            "conditions": sorted(own.conditions),
        }

    def memory(self) -> dict[str, int]:
        """Memory of this process in bytes, and the GPU's peak since the last call."""
        used = {"memory": resident_bytes()}
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
