"""Bounding sphere of an object in the world of arbitrary cameras."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet

#: Radius of every object's bounding sphere in this package's own world.
UNIT_RADIUS = 0.5
_MARGIN = 1.03
#: Distances, in radii, from which single precision is too coarse for an object: its steps are then a 4,000th of it.
_FAR = 2000.0


@dataclass(frozen=True)
class BoundingSphere:
    center: Float[Tensor, "3"]
    radius: float

    @staticmethod
    def of_views(views: ViewSet) -> "BoundingSphere":
        """A sphere that holds the visual hull of one hypothesis' silhouettes.

        Its center is the point nearest to the rays through the silhouettes' middles. Raises :class:`InputError` where
        there is none: fewer than two views with an object, or cameras that all look the same way.
        """
        if len(views) != 1:
            raise InputError("Give the views of one object at a time.")
        masks = views.alpha[0, :, 0].cpu() > 0.5
        seen = masks.flatten(1).any(1).nonzero()[:, 0].tolist()
        if len(seen) < 2:
            raise InputError("The object is seen in fewer than two views: give pictures whose alpha shows the object.")
        cameras, masks = views.cameras[0].to("cpu")[seen], masks[seen]
        pixels = [mask.nonzero().flip(-1).float() + 0.5 for mask in masks]
        middles = torch.stack([(p.amin(0) + p.amax(0)) / 2 for p in pixels])
        origins, directions = cameras.rays(middles[:, None])
        origins, directions = origins[:, 0].double(), directions[:, 0].double()
        # Least squares: project onto the planes across the rays.
        across = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None]
        system = across.sum(0)
        if float(torch.linalg.eigvalsh(system)[0]) < 1e-3 * len(seen):
            raise InputError("All cameras look the same way: give views from around the object.")
        center = torch.linalg.solve(system, (across @ origins[:, :, None]).sum(0))[:, 0].to(cameras.c2w.dtype)
        radius = max(_radius(cameras[i : i + 1], center, pixels[i]) for i in range(len(seen)))
        return BoundingSphere(center, radius)

    @property
    def is_unit(self) -> bool:
        """Whether it lies within the sphere that this package's own objects fill."""
        return float(self.center.norm()) + self.radius <= UNIT_RADIUS * 1.1

    def to_unit(self, views: ViewSet) -> ViewSet:
        """The views in a world whose origin is the center and where the sphere has the package's radius."""
        scale = self._scale
        depth = None if views.depth is None else views.depth * scale
        # Near the origin single precision is enough, also for cameras that came in double.
        return replace(views, cameras=views.cameras.rescaled(self.center, scale).to(torch.float32), depth=depth)

    def from_unit(self, mesh: TexturedMesh) -> TexturedMesh:
        """A mesh made from :meth:`to_unit`'s views, back in the cameras' own world, but for its :attr:`shift`."""
        matrix = torch.eye(4)
        matrix[:3, :3] /= self._scale
        matrix[:3, 3] = (self.center.double() - torch.tensor(self.shift, dtype=torch.float64)).float()
        return mesh.transformed(matrix)

    @property
    def shift(self) -> tuple[float, float, float]:
        """Whole numbers to add to a mesh from :meth:`from_unit`; 0 unless the world's origin is so far away that single
        precision, which mesh files have, would make steps in the object."""
        if float(self.center.norm()) < _FAR * self.radius:
            return 0.0, 0.0, 0.0
        x, y, z = self.center.double().round().tolist()
        return x, y, z

    @property
    def _scale(self) -> float:
        return UNIT_RADIUS / (self.radius * _MARGIN)


def _radius(camera, center: Float[Tensor, "3"], pixels: Float[Tensor, "p 2"]) -> float:
    """Radius of the sphere around ``centre`` that covers the mask's pixels, but for its outermost 1 % (stray ones)."""
    origin, directions = camera.rays(pixels[None])
    towards = center - origin[0]
    # Distance of the center from each pixel's ray.
    return float(torch.linalg.cross(towards, directions[0]).norm(dim=-1).quantile(0.99))
