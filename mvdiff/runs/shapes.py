"""One photo to N shapes in a generator's own frame, as meshes; registration to the photo comes after."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

import mvdiff
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.rectified_flow import FlowSettings
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import OnStep
from mvdiff.sampling.shape_sampler import SampledShapes, ShapeRequest, ShapeSampler
from recon.core.mesh import TexturedMesh
from recon.fusion.tsdf import FusedFields
from recon.objects import ReconstructionConfig, closed_surface
from recon.surface.cleanup import decimate

#: Shapes that are sampled before the first of them is written.
_SAVED_TOGETHER = 16


@dataclass(frozen=True)
class ShapeRun:
    """A source of shapes and the settings of its meshes."""

    sampler: ShapeSampler
    surface: ReconstructionConfig

    def inputs(self, reference: ReferenceImage, settings: FlowSettings, seed: int, count: int) -> dict[str, Any]:
        """All that the meshes depend on, for the manifest."""
        info = self.sampler.info
        surface = {name: getattr(self.surface, name) for name in ("smoothing", "isosurface", "max_faces", "min_part")}
        return {
            "verb": "shapes",
            "version": mvdiff.__version__,
            "photo": {"sha256": hashlib.sha256(reference.picture().tobytes()).hexdigest()},
            "backbone": {"name": info.name, "license": info.license, "frame": info.world, **info.weights},
            "settings": asdict(settings),
            "surface": surface,
            "seed": seed,
            "num_hypotheses": count,
        }

    def meshes(
        self,
        reference: ReferenceImage,
        settings: FlowSettings,
        seed: int,
        indices: Sequence[int],
        on_step: OnStep | None = None,
    ) -> Iterator[TexturedMesh]:
        """Mesh of each hypothesis in ``indices``, without faces where the generator made nothing."""
        for start in range(0, len(indices), _SAVED_TOGETHER):
            seeds = [hypothesis_seed(seed, k) for k in indices[start : start + _SAVED_TOGETHER]]

            def report(done: int, start: int = start) -> None:
                if on_step is not None:
                    on_step(start * settings.steps + done)

            yield from shape_meshes(self.sampler.sample(ShapeRequest(reference, seeds, settings), report), self.surface)


def shape_meshes(shapes: SampledShapes, config: ReconstructionConfig) -> Iterator[TexturedMesh]:
    """Watertight meshes of the shapes in their own frame."""
    for sdf in shapes.sdf:
        fields = FusedFields(sdf[None], shapes.grid, torch.ones(1, 1), (1.0,))
        yield decimate(closed_surface(fields, config), config.max_faces)
