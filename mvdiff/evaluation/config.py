"""Settings of one evaluation. Free of torch, so that the script's help stays fast."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mvdiff.pipelines.generation_config import Framing, GenerationConfig
from recon.errors import InputError

Protocol = Literal["p1", "p2"]


@dataclass(frozen=True)
class EvaluationConfig:
    meshes: Path
    """Folder of GLB, OBJ, PLY or STL files, or a mesh pack (.npz)."""
    output: Path = Path("results.json")
    """Beside it: .md (table), .png (contact sheet) and .objects.jsonl (one line for each finished object)."""
    protocol: Protocol = "p1"
    """p1: shape and pictures. p2: also the hypotheses as a distribution."""
    num_hypotheses: int = 8
    weights: str = "embedded"
    """embedded, or a folder of weights."""
    device: str = "auto"
    """auto, cpu or cuda."""
    limit: int | None = None
    """Only the first so many objects."""
    preset: str = "default"
    """Of the reconstruction; as the main job unless told otherwise."""
    num_inference_steps: int = GenerationConfig.num_inference_steps
    guidance_scale: float = GenerationConfig.guidance_scale
    framing: Framing = "keep"
    """keep: the model is told that the picture is whole, of the default lens. recentre: as any photo."""
    seed: int = 0
    """Of the reference cameras and of the hypotheses."""
    batch_objects: int | None = None
    """Objects whose hypotheses are reconstructed together; 4 on a GPU, else 1."""
    workers: int | None = None
    """Threads that score while the next objects are made; by default 0 on a CPU, else most of the cores."""
    overwrite: bool = False
    """Start again even if the output holds results of other settings."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        self.generation(self.seed).check()
        for name, value, least in (("limit", self.limit, 1), ("batch_objects", self.batch_objects, 1)):
            if value is not None and value < least:
                raise InputError(f"--{name.replace('_', '-')} is at least {least}, not {value}.")
        if self.protocol == "p2" and self.num_hypotheses < 2:
            raise InputError("Protocol p2 judges a distribution: pass --num-hypotheses 2 or more.")
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")

    def generation(self, seed: int) -> GenerationConfig:
        return GenerationConfig(
            num_hypotheses=self.num_hypotheses,
            seed=seed,
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            framing=self.framing,
        )

    def for_device(self, kind: str) -> tuple[int, int]:
        """(batch_objects, workers) on a device of type ``kind``."""
        batch = self.batch_objects or (4 if kind == "cuda" else 1)
        workers = (max((os.cpu_count() or 2) - 2, 1) if kind == "cuda" else 0) if self.workers is None else self.workers
        return batch, workers

    def identity(self) -> dict[str, Any]:
        """What the numbers depend on: a resumed run must agree in all of it."""
        free = ("meshes", "output", "weights", "device", "limit", "batch_objects", "workers", "overwrite")
        return {name: value for name, value in asdict(self).items() if name not in free}
