"""Ray-surface intersections as flat arrays, one entry for each pixel that sees a surface."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.cameras import Cameras


@dataclass(frozen=True)
class Hits:
    """Ray-surface intersections of the pixels that see a surface, in the order of the images."""

    pixel: Int[Tensor, "p"]
    """Index of the pixel, counted through all images."""
    face: Int[Tensor, "p"]
    """Index of the triangle."""
    second: Float[Tensor, "p"]
    third: Float[Tensor, "p"]
    """Barycentric coordinates of the triangle's second and third corner."""

    @staticmethod
    def none(device: torch.device | str = "cpu") -> "Hits":
        index, share = torch.zeros(0, dtype=torch.long, device=device), torch.zeros(0, device=device)
        return Hits(index, index, share, share)

    @staticmethod
    def cat(parts: Sequence[tuple[int, "Hits"]], cameras: Cameras) -> "Hits":
        """Concatenate the hits of ranges of images by ``cameras``, each with the number of its first image."""
        if len(parts) < 2:
            return parts[0][1] if parts else Hits.none()
        size = cameras.width * cameras.height
        moved = [replace(hits, pixel=hits.pixel + first * size) for first, hits in parts]
        return Hits(*(torch.cat([getattr(hits, f.name) for hits in moved]) for f in fields(Hits)))

    def to(self, device: torch.device | str) -> "Hits":
        return Hits(*(getattr(self, f.name).to(device) for f in fields(self)))

    def on(self, planes: Float[Tensor, "3 f c"]) -> Float[Tensor, "p c"]:
        """Values at the hits of a field that :func:`planes` spread over the triangles."""
        first, to_second, to_third = planes
        values = first.index_select(0, self.face)
        values.addcmul_(to_second.index_select(0, self.face), self.second[:, None])
        return values.addcmul_(to_third.index_select(0, self.face), self.third[:, None])

    def from_cameras(
        self, positions: Float[Tensor, "p 3"], cameras: Cameras
    ) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "p 1"]]:
        """Vectors along the rays from the cameras to the hits at world ``positions``, and their z-depths."""
        eye, forward = cameras.position, cameras.c2w[:, :3, 2]
        if len(cameras) != 1:
            view = self.pixel // (cameras.width * cameras.height)
            eye, forward = eye[view], forward[view]
        ways = positions - eye
        depth = (ways * forward).sum(-1, keepdim=True)
        if cameras.orthographic is None:
            return ways, depth
        flat = cameras.orthographic if len(cameras) == 1 else cameras.orthographic[view]
        return torch.where(flat[:, None], depth * forward, ways), depth


def planes(corners: Float[Tensor, "f 3 c"]) -> Float[Tensor, "3 f c"]:
    """Values at the triangles' first corners, and their differences at the second and third."""
    first, second, third = corners.unbind(1)
    return torch.stack([first, second - first, third - first])
