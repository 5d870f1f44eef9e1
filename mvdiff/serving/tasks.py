"""The jobs that need a model, inside a worker process."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.serving.model_shelf import ModelShelf
from mvdiff.serving.paintings import Paintings
from mvdiff.serving.photos import PhotoFolder
from mvdiff.serving.previews import PreviewSheet
from recon.core.paths import inside

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D
    from mvdiff.serving.worker import Desk

Request = dict[str, Any]


@dataclass(frozen=True)
class Sampling:
    """Models, and the jobs that need them."""

    desk: "Desk"
    output_dir: Path
    state_dir: Path
    models: ModelShelf

    @staticmethod
    def load(desk: "Desk", output_dir: Path, state_dir: Path, setup: dict[str, Any]) -> "Sampling":
        """Read the server's own model; others are read when a job asks for them."""
        return Sampling(desk, output_dir, state_dir, ModelShelf.open(setup["model"], setup["extras"]))

    def info(self) -> dict[str, Any]:
        """Facts that the pages show."""
        return self.models.info()

    def memory(self) -> dict[str, int]:
        """Memory of this process in bytes, and the GPU's peak since the last call."""
        return self.models.memory()

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Fill the run folder of a task."""
        request = dict(task["request"])
        target = inside(self.output_dir, task["run"])
        if task["kind"] == "scene":
            return {"notes": self._scene(target, request)}
        model = self._model(task["id"], request)
        work = {"generate": self._generate, "feedback": self._feedback, "refine": self._refine, "edit": self._edit}
        return {"notes": work[task["kind"]](model, target, request)}

    def _model(self, job_id: str, request: Request) -> "ImageTo3D":
        """The model that a request names (or its run was made with), drawing previews of this job."""
        from mvdiff.sampling.sampler import Watchable
        from recon import ReconstructionConfig

        if "run" in request:
            inputs = inputs_of(inside(self.output_dir, request["run"]))
            names, candidates = made_with(inputs), inputs["config"].get("candidates", 1)
        else:
            names = (request.pop("backbone"), request.pop("reconstructor"))
            candidates = request["candidates"]
        if not self.models.holds(*names):
            self.desk.progress("load", 0, 1)
        model = self.models.objects(*names)
        sampler = model.sampler
        if isinstance(sampler, Watchable):
            sheet = PreviewSheet(self.state_dir / "jobs" / job_id, candidates, self.desk)
            sampler = sampler.watched(sheet.draw)
        return replace(model, sampler=sampler, reconstruction=ReconstructionConfig.preset(request.pop("preset")))

    def _generate(self, model: "ImageTo3D", target: Path, request: Request) -> list[str]:
        from mvdiff.sampling.generation import GenerationConfig

        photo = PhotoFolder.find(self.state_dir, request.pop("photo"))
        config = GenerationConfig(**request)
        config.check()
        reference = model.prepare(photo.source, config)
        self.desk.check()
        model.generate(photo.picture, target, progress=self.desk.progress, reference=reference, **request)
        return list(reference.matte.warnings)

    def _scene(self, target: Path, request: Request) -> list[str]:
        photo = PhotoFolder.find(self.state_dir, request.pop("photo"))
        if not self.models.holds_scenes:
            self.desk.progress("load", 0, 1)
        model = self.models.scenes()
        result = model.generate(photo.picture, target, progress=self.desk.progress, **request)
        return list(result.photo.notes)

    def _feedback(self, model: "ImageTo3D", target: Path, request: Request) -> list[str]:
        from mvdiff.runs.refine import feedback

        feedback(model, inside(self.output_dir, request.pop("run")), target, progress=self.desk.progress, **request)
        return []

    def _refine(self, model: "ImageTo3D", target: Path, request: Request) -> list[str]:
        from mvdiff.runs.azimuth import locate
        from mvdiff.runs.evidence import SecondPhoto
        from mvdiff.runs.refine import refine

        photo = PhotoFolder.find(self.state_dir, request.pop("photo"))
        reference, run = model.prepare(photo.source), inside(self.output_dir, request.pop("run"))
        azimuth, elevation, tolerance = [request.pop(n) for n in ("azimuth", "elevation", "azimuth_tolerance")]
        notes = list(reference.matte.warnings)
        if azimuth is None:
            evidence, found = locate(model, run, reference, elevation)
            notes.insert(0, found.sentence())
        else:
            evidence = SecondPhoto(reference, azimuth, elevation, tolerance)
        self.desk.check()
        refine(model, run, evidence, target, progress=self.desk.progress, **request)
        return notes

    def _edit(self, model: "ImageTo3D", target: Path, request: Request) -> list[str]:
        from mvdiff.runs.evidence import EditedView
        from mvdiff.runs.folder import FolderStore
        from mvdiff.runs.refine import refine

        picture = Paintings(self.state_dir).load(request.pop("picture"))
        run = inside(self.output_dir, request.pop("run"))
        views = FolderStore.open(run).load_result().views
        evidence = EditedView.painted(picture, views, request.pop("hypothesis"), request.pop("view"))
        refine(model, run, evidence, target, progress=self.desk.progress, **request)
        return []


def inputs_of(run: Path) -> Request:
    """All that the results of a finished run depend on. Raises :class:`InputError` where there is none."""
    from mvdiff.runs.folder import FolderStore

    return FolderStore.open(run).manifest["inputs"]


def made_with(inputs: Request) -> tuple[str, str]:
    """Backbone and reconstructor of a run."""
    weights = inputs.get("weights") or {}
    reconstructor = (weights.get("reconstructor") or {}).get("kind", "fusion")
    return weights.get("backbone", "embedded"), reconstructor
