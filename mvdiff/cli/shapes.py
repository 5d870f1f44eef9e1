"""``mvdiff shapes``: a photo to N shapes of a native-3D generator."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mvdiff.backbones.shape_registry import ShapeBackbone
from mvdiff.cli.model_choice import Device
from mvdiff.cli.progress import progress_bars
from mvdiff.cli.terminal import say
from mvdiff.sampling.generation import FileFormat, Matting, Preset
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.runs.shapes import ShapeRun
    from mvdiff.sampling.rectified_flow import FlowSettings
    from mvdiff.sampling.reference import ReferenceImage
    from recon.io.folders import OutputFolder


@dataclass(frozen=True)
class Command:
    """Sample N shapes of the object in a photo with a native-3D generator, as meshes without color.

    The meshes stand in the generator's own frame: register them to the photo and infer their posterior by `mvdiff
    posterior`. The same command resumes an interrupted run.
    """

    photo: Annotated[Path, tyro.conf.Positional]
    """Photo of the object. A cut-out with transparency is used as it is."""
    backbone: ShapeBackbone
    """Generator: "trellis-coarse" (64^3 voxels, many hypotheses at a low cost) or "triposg" (detailed)."""
    weights: Path
    """Folder of the generator's published weights."""
    output_dir: Path = Path("out")
    """Folder for the meshes."""
    num_hypotheses: int = 8
    """Number of shapes to sample."""
    seed: int = 0
    """Seed of the run. Hypothesis k has a seed of its own that does not depend on the number of hypotheses."""
    num_inference_steps: int | None = None
    """Number of denoising steps; by default as published."""
    guidance_scale: float | None = None
    """Guidance scale, where 1 is none; by default as published."""
    matting: Matting = True
    """Cut the object out of a photo without transparency."""
    preset: Preset = "default"
    """Quality of the meshes; "quality" keeps more faces."""
    format: FileFormat = "glb"
    """Mesh format."""
    device: Device = "auto"
    """Device to run on; "auto" takes a GPU if there is one."""
    overwrite: bool = False
    """Replace results of other inputs or settings in the output folder."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        from mvdiff.backbones.shape_registry import load_shape_sampler
        from mvdiff.runs.shapes import ShapeRun
        from recon import ReconstructionConfig
        from recon.io.folders import OutputFolder

        if self.num_hypotheses < 1:
            raise InputError(f"The number of hypotheses is at least 1, not {self.num_hypotheses}.")
        if self.seed < 0:
            raise InputError(f"The seed is 0 or a positive number, not {self.seed}.")
        sampler = load_shape_sampler(self.backbone, weights=self.weights, device=self.device)
        made, settings = (
            ShapeRun(sampler, ReconstructionConfig.preset(self.preset)),
            self._settings(sampler.info.defaults),
        )
        reference = sampler.prepare(self.photo, matting=self.matting)
        inputs = made.inputs(reference, settings, self.seed, self.num_hypotheses) | {"format": self.format}
        folder = OutputFolder.create(self.output_dir, inputs, overwrite=self.overwrite)
        if not folder.manifest["complete"]:
            self._fill(folder, made, reference, settings)
        record = {"output_dir": str(folder.path), **folder.manifest}
        if self.json:
            print(json.dumps(record, allow_nan=False))
            return
        meshes = [
            name for name in folder.manifest["files"] if name.startswith("shapes/") and name.endswith(self.format)
        ]
        say(f"{folder.path / 'shapes'}: {len(meshes)} meshes; register them to the photo by")
        say(
            f"  mvdiff posterior {folder.path}/shapes/*.{self.format} --photo {self.photo} --frame {sampler.info.world}"
        )
        for k in folder.manifest["empty"]:
            say(f"  note: hypothesis {k} is empty and was left out")

    def _settings(self, published: "FlowSettings") -> "FlowSettings":
        given: dict[str, Any] = {"steps": self.num_inference_steps, "guidance": self.guidance_scale}
        settings = replace(published, **{name: value for name, value in given.items() if value is not None})
        settings.check()
        return settings

    def _fill(
        self, folder: "OutputFolder", made: "ShapeRun", reference: "ReferenceImage", settings: "FlowSettings"
    ) -> None:
        """Sample and write what an interrupted run has not written yet."""
        from recon.io.meshes.files import save_mesh

        names = [f"shapes/{k:03d}.{self.format}" for k in range(self.num_hypotheses)]
        empty = set(folder.manifest.get("empty", []))
        missing = [k for k, name in enumerate(names) if k not in empty and not folder.has(name)]
        total = len(missing) * settings.steps
        with progress_bars(self.photo.name) as progress:
            meshes = made.meshes(reference, settings, self.seed, missing, lambda done: progress("shapes", done, total))
            for k, mesh in zip(missing, meshes, strict=True):
                if len(mesh) == 0:
                    empty.add(k)
                    folder.update(empty=sorted(empty))
                    continue
                folder.list_files(names[k])
                save_mesh(mesh, folder.path / names[k])
        if len(empty) == self.num_hypotheses:
            raise InputError(f"All {len(empty)} shapes are empty: try another seed, or another photo.")
        folder.finish(empty=sorted(empty))
