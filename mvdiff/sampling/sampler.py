"""The seam between a photo's views and everything after them: what a source of views promises.

A backbone implements :class:`ViewSampler` in one file of ``mvdiff/backbones``. Runs, evaluation and serving know
nothing else about it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.generation import Framing
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.settings import SamplingConfig
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.objects import ReconstructionConfig

Channel = Literal["rgb", "alpha", "normal", "depth"]
Condition = Literal["elevation", "known_views", "more_photos", "initial_views", "photo_cameras"]
#: Called after each denoising step with the number of finished steps.
OnStep = Callable[[int], None]
#: Called after each denoising step with the number of finished steps, and the colors and alpha [n v 4 h w] that the
#: final views are expected to have.
OnViews = Callable[[int, Float[Tensor, "n v 4 h w"]], None]


@dataclass(frozen=True)
class PlacedShape:
    """Shape of a native-3D source in the photo's frame."""

    mesh: TexturedMesh
    registration: Mapping[str, Any]
    """JSON-ready record of how it was registered to the photo, see :meth:`recon.registration.Registration.to_dict`."""


@dataclass(frozen=True)
class Sampled:
    """Views of n hypotheses and the camera of the photo in each of them; it unpacks into these two."""

    views: ViewSet
    """[n v]"""
    photo_cameras: PhotoCamera
    """[n]"""
    shapes: tuple[PlacedShape, ...] = ()
    """The hypotheses themselves where the source gives shapes: nothing is reconstructed from the views then."""

    def __iter__(self) -> Iterator[Any]:
        yield self.views
        yield self.photo_cameras


@dataclass(frozen=True)
class SamplerInfo:
    """Capabilities and provenance of a sampler."""

    name: str
    """Name of the backbone, as ``--backbone`` takes it."""
    license: str
    """SPDX identifier of the weights' license."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Record for manifests: name, sha256, revision, adapters."""
    gives: Literal["views", "shapes"] = "views"
    """Source of the hypotheses: views, of which they are reconstructed, or shapes of the sampler's own."""
    channels: frozenset[Channel] = frozenset({"rgb", "alpha"})
    """Channels of the sampled views."""
    rig: Literal["any", "fixed"] = "fixed"
    """Whether the target cameras can be chosen."""
    photo_camera: Literal["estimated", "fixed"] = "fixed"
    """Whether each hypothesis draws the photo's camera from an estimate."""
    conditions: frozenset[Condition] = frozenset()
    """Conditions that can be given beside the photo."""
    sizes: tuple[int, int] | None = None
    """Sides of the reference and of the sampled views in pixels; None where any will do."""
    settings: frozenset[str] = frozenset(SamplingConfig().sampling)
    """Names of the fields of :class:`SamplingConfig` that change its samples."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings that suit it better than the defaults of :class:`SamplingConfig`."""


@dataclass(frozen=True)
class SamplingRequest:
    """Everything that one call of a sampler depends on."""

    reference: ReferenceImage
    seeds: Sequence[int]
    """One for each of the n objects to draw; an object depends on its own seed only."""
    settings: SamplingConfig = field(default_factory=SamplingConfig)
    elevation: float | None = None
    """Elevation of the photo's camera in degrees, where it is known."""
    conditions: Conditions = field(default_factory=Conditions)
    """Conditions beyond the photo; entries [n] follow ``seeds``."""


@runtime_checkable
class ViewSampler(Protocol):
    """A source of multi-view samples. Implementations hold no state that a request changes."""

    @property
    def info(self) -> SamplerInfo: ...

    @property
    def device(self) -> torch.device: ...

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out of a photo (path, picture or array) and frame it as this backbone expects it."""
        ...

    def sample(self, request: SamplingRequest, on_step: OnStep | None = None) -> Sampled:
        """Draw one object for each seed of ``request``; views [n v] on this sampler's device."""
        ...

    def draw_photo_cameras(
        self, reference: ReferenceImage, seeds: Sequence[int], elevation: float | None = None, azimuth: float = 0.0
    ) -> PhotoCamera:
        """Draw the camera [n] of a photo that was taken ``azimuth`` degrees from the first one."""
        ...


@runtime_checkable
class ShapeGiving(Protocol):
    """Optional capability: hypotheses are shapes of the sampler's own, see :attr:`Sampled.shapes`."""

    def meshed(self, config: ReconstructionConfig) -> ViewSampler:
        """This sampler, with meshes and textures as ``config`` says."""
        ...


@runtime_checkable
class SelfJudging(Protocol):
    """Optional capability: a sampler's own errors on the photo, from which novelty is judged."""

    def self_errors(self, reference: ReferenceImage, sampled: Sampled) -> dict[str, float]:
        """Named scores; the larger, the less the model can make of the photo."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """Optional capability: the views can be seen while they are denoised."""

    def watched(self, on_views: OnViews) -> ViewSampler:
        """This sampler, calling ``on_views`` after each denoising step; the samples stay the same."""
        ...
