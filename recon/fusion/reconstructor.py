"""Interface of methods that turn views into signed distances, other than this package's own fusion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from recon.core.grid import VoxelGrid
from recon.core.views import ViewSet
from recon.fusion.tsdf import FusedFields


@dataclass(frozen=True)
class ReconstructorInfo:
    """Provenance of a reconstructor."""

    name: str
    license: str
    """SPDX identifier of the weights' license."""
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Record for manifests: name, sha256."""


@runtime_checkable
class Reconstructor(Protocol):
    """A source of fields: views in, signed distances on our grid out. Surface, texture and residuals follow as ever."""

    @property
    def info(self) -> ReconstructorInfo: ...

    def fields(self, views: ViewSet, grid: VoxelGrid) -> FusedFields:
        """Signed distances of the objects that ``views`` [n v] show, true near their zero level.

        Hypothesis k depends on its own views only. The views are valid (:mod:`recon.fusion.validation`), and the object
        lies within the sphere of radius 0.5 around the origin.
        """
        ...
