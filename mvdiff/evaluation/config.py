"""Settings of one evaluation. Free of torch, so that the script's help stays fast."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from mvdiff.evaluation.benchmarks.machine import config_to_json
from mvdiff.reconstructors.names import ReconstructorName
from mvdiff.sampling.generation import Framing, GenerationConfig, Preset
from mvdiff.sampling.settings import SamplingConfig
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D

Protocol = Literal["p1", "p2"]


@dataclass(frozen=True, kw_only=True)
class JobConfig(SamplingConfig):
    """Settings for running the main job on known objects."""

    num_hypotheses: int = 8
    """Number of hypotheses per object."""
    backbone: str = "embedded"
    """Source of the views, see `mvdiff models list`."""
    weights: str = "embedded"
    """Weights to judge: "embedded" (in this package, or those that `mvdiff models pull` stored), or a folder."""
    reconstructor: ReconstructorName = "fusion"
    """Way from views to shapes: "fusion", or "lrm", InstantMesh's network, which needs weights."""
    reconstructor_weights: Path | None = None
    """Folder of the reconstructor's converted weights."""
    features: Path | None = None
    """Folder of DINOv2, whose features registration to the photo compares."""
    device: str = "auto"
    """Device to run on: auto, cpu or cuda."""
    limit: int | None = None
    """Number of objects to take, from the first; all by default."""
    preset: Preset = "default"
    """Quality of the reconstruction; by default that of the main job."""
    framing: Framing = "keep"
    """Framing of the images. "keep" declares them full frames of the default lens; "recentre" does not."""
    seed: int = 0
    """Seed of the reference cameras and of the hypotheses."""
    batch_objects: int | None = None
    """Number of objects reconstructed together; by default 4 on a GPU, else 1."""
    workers: int | None = None
    """Threads that score while the next objects are made; by default 0 on a CPU, else most of the cores."""
    processes: int = 1
    """Number of processes, each with a model and one core of its own; GPUs are shared among them. As many as there
    are cores take the least time for all objects. More than 1 disables ``batch_objects`` and ``workers``."""
    overwrite: bool = False
    """Start again even if the output holds results of other settings."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        self.generation(self.seed).check()
        for name in ("limit", "batch_objects", "processes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name.replace('_', '-')} is at least 1, not {value}.")

    @property
    def judges_novelty(self) -> bool:
        """Whether the model's errors on each picture are wanted."""
        return False

    @property
    def geometry_only(self) -> bool:
        """Whether fitted fields suffice, to be meshed where they are looked at."""
        return False

    @property
    def makes_baselines(self) -> bool:
        """Whether objects without a posterior are wanted beside the hypotheses."""
        return False

    def generation(self, seed: int) -> GenerationConfig:
        return GenerationConfig(
            num_hypotheses=self.num_hypotheses,
            seed=seed,
            framing=self.framing,
            **self.sampling,
        )

    def load(self, lora: Path | None = None, calibration: str = "default", lora_scale: float = 1.0) -> "ImageTo3D":
        """Load the configured model."""
        from mvdiff.runs.loading import load_model

        return load_model(
            self.weights,
            self.device,
            self.preset,
            lora,
            calibration,
            lora_scale,
            reconstructor=self.reconstructor,
            reconstructor_weights=self.reconstructor_weights,
            backbone=self.backbone,
            features=self.features,
        )

    def for_device(self, kind: str) -> tuple[int, int]:
        """(batch_objects, workers) on a device of type ``kind``."""
        batch = self.batch_objects or (4 if kind == "cuda" else 1)
        workers = (max((os.cpu_count() or 2) - 2, 1) if kind == "cuda" else 0) if self.workers is None else self.workers
        return batch, workers

    def identity(self) -> dict[str, Any]:
        """Everything that the numbers depend on, as JSON values; a resumed run must agree in all of it."""
        model = ("backbone", "weights", "lora", "reconstructor", "reconstructor_weights", "features")
        place = ("meshes", "output", *model, "limit", "overwrite")
        free = (*place, "device", "batch_objects", "workers", "processes")
        return {name: value for name, value in config_to_json(self).items() if name not in free}


@dataclass(frozen=True)
class EvaluationConfig(JobConfig):
    meshes: Path
    """Folder of GLB, OBJ, PLY or STL files, or a mesh pack (.npz)."""
    output: Path = Path("results.json")
    """Results (.json), written with .md (table), .png (contact sheet) and .objects.jsonl (one line per object)."""
    protocol: Protocol = "p1"
    """Protocol: "p1" scores shapes and images, "p2" also the distribution of the hypotheses."""
    lora: Path | None = None
    """LoRA adapter to fuse into the weights; it must have been trained on them."""
    lora_scale: float = 1.0
    """Strength of the LoRA adapter."""
    calibration: str = "default"
    """Calibration to judge: a file, "none", or "default" (the one shipped with the weights)."""
    baselines: bool = False
    """Also score two baselines (protocol p2): the object of the mean views, and that of a single denoising step."""

    def load(self) -> "ImageTo3D":
        return super().load(self.lora, self.calibration, self.lora_scale)

    @property
    def judges_novelty(self) -> bool:
        return self.protocol == "p2"

    @property
    def makes_baselines(self) -> bool:
        return self.protocol == "p2" and self.baselines

    def check(self) -> None:
        super().check()
        if self.protocol == "p2" and self.num_hypotheses < 2:
            raise InputError("Protocol p2 judges a distribution: pass --num-hypotheses 2 or more.")
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")


@dataclass(frozen=True)
class CalibrationConfig(JobConfig):
    framing: tyro.conf.Suppress[Framing] = field(default="keep", kw_only=True)
    """Unused: ``framings`` names the framings to calibrate."""
    meshes: tuple[Path, ...] = ()
    """Folders of GLB, OBJ, PLY or STL files, or mesh packs (.npz); none that the model was trained or is judged on."""
    procedural: int = 0
    """Number of procedural objects to add, of seeds that training does not use. With 20 meshes or more they only
    describe the photos of known objects and do not enter the calibration of shapes."""
    holdout_every: int = 1
    """Take every n-th mesh of each folder or pack: the ones that training with the same value holds out."""
    output: Path = Path("calibration.json")
    """Calibration (.json), found by default if it lies beside the weights; .objects.jsonl is written with it."""
    framings: tuple[Framing, ...] = ("keep", "recentre")
    """Framings to calibrate, each on its own, as they leave different things uncertain."""

    def load(self) -> "ImageTo3D":
        return super().load(calibration="none")

    @property
    def judges_novelty(self) -> bool:
        return True

    @property
    def geometry_only(self) -> bool:
        return True

    def check(self) -> None:
        super().check()
        if not self.meshes and not self.procedural:
            raise InputError("There is nothing to calibrate on: pass --meshes, --procedural, or both.")
        if self.procedural < 0 or self.holdout_every < 1 or not self.framings:
            raise InputError(
                "--procedural is 0 or more, --holdout-every at least 1, and --framings names at least one."
            )
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")

    def identity(self) -> dict[str, Any]:
        # The framing stands in each object's name, so that another one can be added later.
        free = ("framing", "framings", "procedural")
        return {name: value for name, value in super().identity().items() if name not in free}
