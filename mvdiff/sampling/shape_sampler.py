"""The seam for native-3D generators: what a source of shapes promises that gives no views.

Their objects stand in a frame of the generator's own, not in the photo's: registration to the photo
(:mod:`recon.registration`) comes after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.generation import Framing
from mvdiff.sampling.rectified_flow import FlowSettings
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import OnStep
from recon.core.grid import VoxelGrid

#: Axis that points up in the generator's frame, as registration's ``--frame`` takes it.
World = Literal["y-up", "z-up"]


@dataclass(frozen=True)
class ShapeSamplerInfo:
    """Capabilities and provenance of a source of shapes."""

    name: str
    license: str
    """SPDX identifier of the weights' license."""
    world: World
    """Frame of the shapes."""
    defaults: FlowSettings
    """Published settings."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Record for manifests: name, sha256 of each part."""


@dataclass(frozen=True)
class ShapeRequest:
    """Everything that one call of a source of shapes depends on."""

    reference: ReferenceImage
    seeds: Sequence[int]
    """One for each of the n shapes to draw; a shape depends on its own seed only."""
    settings: FlowSettings


@dataclass(frozen=True)
class SampledShapes:
    """Shapes of n hypotheses in one frame, without color."""

    sdf: Float[Tensor, "n g g g"]
    """Signed distance, negative inside, indexed x, y, z at the cell centers of the cube [-extent, extent]^3."""
    extent: float
    world: World

    def __len__(self) -> int:
        return len(self.sdf)

    @property
    def grid(self) -> VoxelGrid:
        return VoxelGrid(torch.zeros(3, device=self.sdf.device), self.extent, self.sdf.shape[-1])


@runtime_checkable
class ShapeSampler(Protocol):
    """A source of shapes. Implementations hold no state that a request changes."""

    @property
    def info(self) -> ShapeSamplerInfo: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def chunk(self) -> int:
        """Shapes sampled at a time, each time by as many steps as the settings say."""
        ...

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out of a photo (path, picture or array) and frame it as this generator expects it."""
        ...

    def sample(self, request: ShapeRequest, on_step: OnStep | None = None) -> SampledShapes:
        """Draw one shape for each seed of ``request``."""
        ...


def steps_after(on_step: OnStep | None, done: int) -> OnStep:
    """A callback that counts on from ``done`` steps."""

    def report(finished: int) -> None:
        if on_step is not None:
            on_step(done + finished)

    return report
