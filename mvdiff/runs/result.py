"""The result of one run."""

from dataclasses import dataclass

from mvdiff.backbones.novelty import Novelty
from mvdiff.helpers.semantic_novelty import Likeness
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.views import ViewSet
from recon.posterior import Hypothesis, Posterior


@dataclass(frozen=True)
class GenerationResult:
    """Everything that was made from one photo."""

    reference: ReferenceImage
    views: ViewSet
    """Sampled views [n v]."""
    photo_cameras: PhotoCamera
    """Camera of the photo in each hypothesis, [n]."""
    hypotheses: tuple[Hypothesis, ...]
    posterior: Posterior
    novelty: Novelty | None = None
    """Whether the model knows this kind of photo; None where the backbone cannot tell."""
    likeness: Likeness | None = None
    """Whether known photos look like this one; None where none were given."""
