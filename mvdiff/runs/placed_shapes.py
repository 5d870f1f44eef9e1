"""Hypotheses of sources that give shapes: the registered shapes themselves, and what a reader must know of them."""

from collections.abc import Sequence

import torch

from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.sampler import PlacedShape, Sampled
from recon.core.grid import VoxelGrid
from recon.fusion.tsdf import FusedFields
from recon.objects import ReconstructionConfig
from recon.ops.parallel import in_threads
from recon.ops.voxelize import mesh_distance
from recon.posterior import Hypothesis
from recon.posterior.from_meshes import LEAST_OVERLAP, SURE
from recon.surface.projection import unseen_share


def hypotheses_of_shapes(sampled: Sampled, seed: int) -> list[Hypothesis]:
    """One hypothesis for each shape of a run of ``seed``."""
    return [
        Hypothesis(
            mesh=shape.mesh,
            seed=hypothesis_seed(seed, k),
            elevation=float(sampled.photo_cameras.elevation[k]),
            views=sampled.views[k].to("cpu"),
        )
        for k, shape in enumerate(sampled.shapes)
    ]


def fields_of_shapes(shapes: Sequence[PlacedShape], config: ReconstructionConfig) -> FusedFields:
    """Signed distances of the shapes on the grid of ``config``."""
    grid = VoxelGrid(torch.zeros(3), config.extent, config.resolution)
    values = in_threads(lambda shape: mesh_distance(shape.mesh, grid), shapes)
    return FusedFields(torch.stack(values), grid, torch.ones(len(shapes), 1), (1.0,) * len(shapes))


def shape_notes(shapes: Sequence[PlacedShape]) -> list[str]:
    """Warnings: registrations that fit badly or are not certain, and how much of the surface has no known color."""
    notes = []
    overlaps = [shape.registration["silhouette_iou"] for shape in shapes]
    bad = [k for k, overlap in enumerate(overlaps) if overlap < LEAST_OVERLAP]
    if bad:
        notes.append(
            f"{_numbered(bad)} fits the photo badly (silhouettes overlap by {min(overlaps):.0%} at least): "
            "its direction means little."
        )
    unsure = [k for k, s in enumerate(shapes) if s.registration["confidence"] < SURE and k not in bad]
    if unsure:
        least = min(shapes[k].registration["confidence"] for k in unsure)
        notes.append(f"The direction of {_numbered(unsure, 'h')} is not certain ({least:.0%} at least).")
    return notes + unseen_notes([shape.mesh for shape in shapes])


def unseen_notes(meshes: Sequence) -> list[str]:
    """Share of the surfaces that the photo does not show, as a warning, where they were painted from it."""
    shares = [share for share in map(unseen_share, meshes) if share is not None]
    if not shares:
        return []
    return [
        f"The photo shows {1 - sum(shares) / len(shares):.0%} of the surface; colors of the rest are not observed "
        "(vertex attribute `unseen`)."
    ]


def _numbered(indices: Sequence[int], first: str = "H") -> str:
    """ "Hypothesis 1", or "Each of the hypotheses 1, 4"."""
    if len(indices) == 1:
        return f"{first}ypothesis {indices[0]}"
    start = "Each" if first == "H" else "each"
    return f"{start} of the hypotheses {', '.join(map(str, indices))}"
