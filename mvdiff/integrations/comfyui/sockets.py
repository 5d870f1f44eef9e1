"""Values that flow between the nodes, and the names of the sockets."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.runs.result import GenerationResult
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import Sampled
from recon.posterior import Hypothesis

MODEL = "MVDIFF_MODEL"
VIEWS = "MVDIFF_VIEWS"
HYPOTHESES = "MVDIFF_HYPOTHESES"
RUN = "MVDIFF_RUN"
TEXTURED_MESH = "MVDIFF_MESH"


@dataclass(frozen=True)
class SampledViews:
    """Views of n hypotheses of a photo, with everything that they were sampled by."""

    model: ImageTo3D
    config: GenerationConfig
    reference: ReferenceImage
    sampled: Sampled


@dataclass(frozen=True)
class Hypotheses:
    """Reconstructed objects, one for each hypothesis of ``views``."""

    views: SampledViews
    objects: tuple[Hypothesis, ...]


@dataclass(frozen=True)
class Run:
    """A finished run and its folder."""

    model: ImageTo3D
    folder: Path
    result: GenerationResult


@dataclass(frozen=True)
class Mesh:
    """One mesh as ComfyUI's MESH socket carries it: a batch of shapes without color."""

    vertices: Float[Tensor, "1 k 3"]
    faces: Int[Tensor, "1 f 3"]
