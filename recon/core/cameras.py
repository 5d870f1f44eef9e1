"""Batched pinhole cameras (OpenCV axes, pixel centre at +0.5, +Y-up world)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError

#: The default lens: 40 degrees at distance 1.5 just holds the bounding sphere of radius 0.5.
DEFAULT_FOV = 40.0
DEFAULT_DISTANCE = 1.5

Angles = float | Sequence[float] | Tensor


@dataclass(frozen=True)
class Cameras:
    """Any batch of pinhole cameras that share one picture size; indexes, reshapes and moves like a tensor."""

    c2w: Float[Tensor, "*batch 4 4"]
    """Camera-to-world, OpenCV axes: columns are right, down, forward, position."""
    intrinsics: Float[Tensor, "*batch 3 3"]
    """Pixels: focal lengths on the diagonal, principal point in the last column."""
    width: int
    height: int

    @property
    def shape(self) -> torch.Size:
        """Batch shape, without the matrix axes."""
        return self.c2w.shape[:-2]

    @property
    def device(self) -> torch.device:
        return self.c2w.device

    @property
    def position(self) -> Float[Tensor, "*batch 3"]:
        return self.c2w[..., :3, 3]

    @property
    def w2c(self) -> Float[Tensor, "*batch 4 4"]:
        """World-to-camera; closed form, as rotations are orthonormal."""
        rotation = self.c2w[..., :3, :3].transpose(-1, -2)
        translation = -(rotation @ self.c2w[..., :3, 3:])
        top = torch.cat([rotation, translation], -1)
        bottom = torch.zeros_like(top[..., :1, :])
        bottom[..., 3] = 1.0
        return torch.cat([top, bottom], -2)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index) -> "Cameras":
        return replace(self, c2w=self.c2w[index], intrinsics=self.intrinsics[index])

    def reshape(self, *shape: int) -> "Cameras":
        return replace(self, c2w=self.c2w.reshape(*shape, 4, 4), intrinsics=self.intrinsics.reshape(*shape, 3, 3))

    def expand(self, *shape: int) -> "Cameras":
        return replace(self, c2w=self.c2w.expand(*shape, 4, 4), intrinsics=self.intrinsics.expand(*shape, 3, 3))

    def to(self, *args, **kwargs) -> "Cameras":
        return replace(self, c2w=self.c2w.to(*args, **kwargs), intrinsics=self.intrinsics.to(*args, **kwargs))

    def resized(self, width: int, height: int) -> "Cameras":
        """The same lens on a picture of another size."""
        scale = self.intrinsics.new_tensor([width / self.width, height / self.height, 1.0])
        return Cameras(self.c2w, self.intrinsics * scale[:, None], width, height)

    def transformed(self, world: Float[Tensor, "4 4"]) -> "Cameras":
        """Cameras of a world moved by the rigid matrix ``world``."""
        return replace(self, c2w=world.to(self.c2w) @ self.c2w)

    def rays(
        self, pixels: Float[Tensor, "*#batch p 2"] | None = None
    ) -> tuple[Float[Tensor, "*batch p 3"], Float[Tensor, "*batch p 3"]]:
        """Origins and unit directions through ``pixels`` (x, y; all pixel centres in row order by default)."""
        if pixels is None:
            pixels = pixel_centers(self.width, self.height, device=self.device, dtype=self.c2w.dtype)
        # The inverse of an upper triangle by hand: CUDA's solvers take as long for one matrix as all of the rest.
        (fx, skew, cx), (_, fy, cy) = (row.unbind(-1) for row in self.intrinsics[..., None, :2, :].unbind(-2))
        y = (pixels[..., 1] - cy) / fy
        x = (pixels[..., 0] - cx - skew * y) / fx
        local = torch.stack([x, y, torch.ones_like(x)], -1)
        directions = torch.nn.functional.normalize(local @ self.c2w[..., :3, :3].transpose(-1, -2), dim=-1)
        return self.position[..., None, :].expand_as(directions), directions

    def project(
        self, points: Float[Tensor, "*#batch p 3"]
    ) -> tuple[Float[Tensor, "*batch p 2"], Float[Tensor, "*batch p"]]:
        """Pixel coordinates and z-depth (world units, positive in front) of world points."""
        image = (points - self.position[..., None, :]) @ (self.c2w[..., :3, :3] @ self.intrinsics.transpose(-1, -2))
        depth = image[..., 2]
        safe = torch.where(depth.abs() < 1e-8, 1e-8, depth)
        return image[..., :2] / safe[..., None], depth

    def unproject(self, depth: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w 3"]:
        """World points of a z-depth map over all pixels."""
        origins, directions = self.rays()
        forward = self.c2w[..., None, :3, 2]
        distance = depth.flatten(-2) / (directions * forward).sum(-1)
        points = origins + directions * distance[..., None]
        return points.reshape(*self.shape, self.height, self.width, 3)

    @staticmethod
    def look_at(
        position: Float[Tensor, "*batch 3"],
        target: Float[Tensor, "*#batch 3"] | None = None,
        fov: float = DEFAULT_FOV,
        size: int | tuple[int, int] = 128,
    ) -> "Cameras":
        """Cameras at ``position`` looking at ``target``, +Y up; ``fov`` vertical in degrees, ``size`` (w, h)."""
        width, height = (size, size) if isinstance(size, int) else size
        target = torch.zeros_like(position) if target is None else target.expand_as(position)
        forward = torch.nn.functional.normalize(target - position, dim=-1)
        up = torch.zeros_like(forward)
        up[..., 1] = 1.0
        # Straight up or down has no unique right; +X then keeps azimuth 0's own right.
        right = torch.linalg.cross(forward, up)
        degenerate = right.norm(dim=-1, keepdim=True) < 1e-6
        fallback = torch.zeros_like(right)
        fallback[..., 0] = 1.0
        right = torch.nn.functional.normalize(torch.where(degenerate, fallback, right), dim=-1)
        down = torch.linalg.cross(forward, right)
        c2w = torch.zeros(*position.shape[:-1], 4, 4, dtype=position.dtype, device=position.device)
        c2w[..., :3, :] = torch.stack([right, down, forward, position], -1)
        c2w[..., 3, 3] = 1.0
        intrinsics = pinhole(fov, width, height, position.device).to(position.dtype).expand(*position.shape[:-1], 3, 3)
        return Cameras(c2w, intrinsics, width, height)

    @staticmethod
    def orbit(
        azimuth: Angles,
        elevation: Angles = 0.0,
        distance: Angles = DEFAULT_DISTANCE,
        fov: float = DEFAULT_FOV,
        size: int | tuple[int, int] = 128,
    ) -> "Cameras":
        """Cameras on spheres around the origin, angles in degrees; azimuth 0 stands on +Z and grows towards +X."""
        given = (azimuth, elevation, distance)
        device = next((a.device for a in given if isinstance(a, Tensor)), None)
        # Plain numbers are filled in on the device: copying them there would wait for all that it still has to do.
        angles = (
            torch.full((), value, dtype=torch.float32, device=device)
            if isinstance(value, float | int)
            else torch.as_tensor(value, dtype=torch.float32, device=device)
            for value in given
        )
        azimuths, elevations, distances = torch.broadcast_tensors(*angles)
        a, e = torch.deg2rad(azimuths), torch.deg2rad(elevations)
        unit = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], -1)
        return Cameras.look_at(unit * distances[..., None], fov=fov, size=size)

    @staticmethod
    def stack(cameras: Sequence["Cameras"], dim: int = 0) -> "Cameras":
        sizes = {(c.width, c.height) for c in cameras}
        if len(sizes) != 1:
            raise InputError(f"Pictures differ in size {sorted(sizes)}: resize pictures and cameras to one.")
        return replace(
            cameras[0],
            c2w=torch.stack([c.c2w for c in cameras], dim),
            intrinsics=torch.stack([c.intrinsics for c in cameras], dim),
        )

    @staticmethod
    def cat(cameras: Sequence["Cameras"], dim: int = 0) -> "Cameras":
        sizes = {(c.width, c.height) for c in cameras}
        if len(sizes) != 1:
            raise InputError(f"Pictures differ in size {sorted(sizes)}: resize pictures and cameras to one.")
        return replace(
            cameras[0],
            c2w=torch.cat([c.c2w for c in cameras], dim),
            intrinsics=torch.cat([c.intrinsics for c in cameras], dim),
        )


def pinhole(fov: float, width: int, height: int, device: torch.device | None = None) -> Float[Tensor, "3 3"]:
    """Intrinsics in pixels of a centred lens with vertical field of view ``fov`` in degrees."""
    intrinsics = torch.eye(3, device=device)
    intrinsics[:2] *= 0.5 * height / math.tan(math.radians(fov) / 2)
    intrinsics[0, 2], intrinsics[1, 2] = width / 2, height / 2
    return intrinsics


def pixel_centers(
    width: int, height: int, stride: int = 1, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "p 2"]:
    """(x, y) of the centres of ``stride``-sized pixels in row order."""
    x = (torch.arange(width // stride, device=device, dtype=dtype) + 0.5) * stride
    y = (torch.arange(height // stride, device=device, dtype=dtype) + 0.5) * stride
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], -1).reshape(-1, 2)
