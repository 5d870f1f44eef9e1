"""Meshes of sampled distances, and the draws of a hypothesis whose shape came out empty."""

from collections.abc import Iterator

import torch

from mvdiff.sampling.shape_sampler import SampledShapes
from recon.core.mesh import TexturedMesh
from recon.fusion.tsdf import FusedFields
from recon.objects import ReconstructionConfig, closed_surface
from recon.surface.cleanup import decimate

#: Draws of one hypothesis until its shape has a surface.
MAX_DRAWS = 4
#: Seeds of hypotheses have 48 bits, see :func:`mvdiff.sampling.candidates.hypothesis_seed`.
_BITS = 48


def next_draw(seed: int, attempt: int) -> int:
    """Seed of draw ``attempt`` of a hypothesis; the first is its own."""
    return seed + (attempt << _BITS)


def shape_meshes(shapes: SampledShapes, config: ReconstructionConfig) -> Iterator[TexturedMesh]:
    """Watertight meshes of the shapes in their own frame, without faces where the generator made nothing."""
    for sdf in shapes.sdf:
        fields = FusedFields(sdf[None], shapes.grid, torch.ones(1, 1), (1.0,))
        yield decimate(closed_surface(fields, config), config.max_faces)
