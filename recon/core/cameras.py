"""Batched pinhole and orthographic cameras (OpenCV axes, pixel center at +0.5, +Y-up world)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.core.errors import InputError

#: The default lens: 40 degrees at distance 1.5 just holds the bounding sphere of radius 0.5.
DEFAULT_FOV = 40.0
DEFAULT_DISTANCE = 1.5

Angles = float | Sequence[float] | Tensor


@dataclass(frozen=True)
class Cameras:
    """Any batch of cameras that share one picture size; indexes, reshapes and moves like a tensor.

    A batch may hold pinholes and orthographic cameras. Depth is z-depth for both: the distance from the plane through
    ``position`` across the line of sight.
    """

    c2w: Float[Tensor, "*batch 4 4"]
    """Camera-to-world, OpenCV axes: columns are right, down, forward, position."""
    intrinsics: Float[Tensor, "*batch 3 3"]
    """Pixels: focal lengths on the diagonal, principal point in the last column. The focal lengths of an orthographic
    camera are pixels per world unit."""
    width: int
    height: int
    orthographic: Bool[Tensor, "*batch"] | None = None
    """Mask of the cameras whose rays are parallel; None where all are pinholes."""

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
        flat = None if self.orthographic is None else self.orthographic[index]
        return replace(self, c2w=self.c2w[index], intrinsics=self.intrinsics[index], orthographic=flat)

    def reshape(self, *shape: int) -> "Cameras":
        c2w, intrinsics = self.c2w.reshape(*shape, 4, 4), self.intrinsics.reshape(*shape, 3, 3)
        flat = None if self.orthographic is None else self.orthographic.reshape(shape)
        return replace(self, c2w=c2w, intrinsics=intrinsics, orthographic=flat)

    def expand(self, *shape: int) -> "Cameras":
        c2w, intrinsics = self.c2w.expand(*shape, 4, 4), self.intrinsics.expand(*shape, 3, 3)
        flat = None if self.orthographic is None else self.orthographic.expand(shape)
        return replace(self, c2w=c2w, intrinsics=intrinsics, orthographic=flat)

    def to(self, *args, **kwargs) -> "Cameras":
        c2w, intrinsics = self.c2w.to(*args, **kwargs), self.intrinsics.to(*args, **kwargs)
        flat = None if self.orthographic is None else self.orthographic.to(c2w.device)
        return replace(self, c2w=c2w, intrinsics=intrinsics, orthographic=flat)

    def resized(self, width: int, height: int) -> "Cameras":
        """The same lens on a picture of another size."""
        scale = self.intrinsics.new_tensor([width / self.width, height / self.height, 1.0])
        return replace(self, intrinsics=self.intrinsics * scale[:, None], width=width, height=height)

    def as_orthographic(self, half_extent: float) -> "Cameras":
        """Orthographic cameras in the same places, whose pictures are ``2 * half_extent`` world units high."""
        if not (math.isfinite(half_extent) and half_extent > 0):
            raise InputError(f"An orthographic camera needs a half extent above 0, not {half_extent:g}.")
        lens = self.intrinsics.new_tensor([1.0, 1.0, 0.0]).diag() * (self.height / (2 * half_extent))
        lens[:, 2] = lens.new_tensor([self.width / 2, self.height / 2, 1.0])
        flat = torch.ones(self.shape, dtype=torch.bool, device=self.device)
        return replace(self, intrinsics=lens.expand_as(self.intrinsics), orthographic=flat)

    def require_pinholes(self, what: str) -> None:
        """Raise :class:`InputError` where a camera is orthographic; ``what`` names what takes pinholes only."""
        if self.orthographic is not None and bool(self.orthographic.any()):
            raise InputError(f"{what} takes pinhole cameras only: render or photograph with perspective.")

    def rescaled(self, center: Float[Tensor, "3"], scale: float) -> "Cameras":
        """Cameras of a world moved by ``-center``, then scaled; their pictures stay the same."""
        c2w, intrinsics = self.c2w.clone(), self.intrinsics
        c2w[..., :3, 3] = (c2w[..., :3, 3] - center.to(c2w)) * scale
        if self.orthographic is not None:
            shrunk = intrinsics / intrinsics.new_tensor([[scale, scale, 1.0], [scale, scale, 1.0], [1.0, 1.0, 1.0]])
            intrinsics = torch.where(self.orthographic[..., None, None], shrunk, intrinsics)
        return replace(self, c2w=c2w, intrinsics=intrinsics)

    def transformed(self, world: Float[Tensor, "4 4"]) -> "Cameras":
        """Cameras of a world moved by the rigid matrix ``world``."""
        return replace(self, c2w=world.to(self.c2w) @ self.c2w)

    def rays(
        self, pixels: Float[Tensor, "*#batch p 2"] | None = None
    ) -> tuple[Float[Tensor, "*batch p 3"], Float[Tensor, "*batch p 3"]]:
        """Origins and unit directions through ``pixels`` (x, y; all pixel centers in row order by default)."""
        if pixels is None:
            pixels = pixel_centers(self.width, self.height, device=self.device, dtype=self.c2w.dtype)
        # The inverse of an upper triangle by hand: CUDA's solvers take as long for one matrix as all of the rest.
        (fx, skew, cx), (_, fy, cy) = (row.unbind(-1) for row in self.intrinsics[..., None, :2, :].unbind(-2))
        y = (pixels[..., 1] - cy) / fy
        x = (pixels[..., 0] - cx - skew * y) / fx
        local = torch.stack([x, y, torch.ones_like(x)], -1)
        directions = torch.nn.functional.normalize(local @ self.c2w[..., :3, :3].transpose(-1, -2), dim=-1)
        origins = self.position[..., None, :].expand_as(directions)
        if self.orthographic is None:
            return origins, directions
        right, down, forward = self.c2w[..., None, :3, :3].unbind(-1)
        flat, beside = self.orthographic[..., None, None], x[..., None] * right + y[..., None] * down
        return torch.where(flat, origins + beside, origins), torch.where(flat, forward, directions)

    def project(
        self, points: Float[Tensor, "*#batch p 3"]
    ) -> tuple[Float[Tensor, "*batch p 2"], Float[Tensor, "*batch p"]]:
        """Pixel coordinates and z-depth (world units, positive in front) of world points."""
        image = (points - self.position[..., None, :]) @ (self.c2w[..., :3, :3] @ self.intrinsics.transpose(-1, -2))
        depth = image[..., 2]
        safe = torch.where(depth.abs() < 1e-8, 1e-8, depth)
        pixels = image[..., :2] / safe[..., None]
        if self.orthographic is None:
            return pixels, depth
        local = (points - self.position[..., None, :]) @ self.c2w[..., :3, :2]
        parallel = local @ self.intrinsics[..., :2, :2].mT + self.intrinsics[..., None, :2, 2]
        return torch.where(self.orthographic[..., None, None], parallel, pixels), depth

    def unproject(self, depth: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch h w 3"]:
        """World points of a z-depth map over all pixels."""
        origins, directions = self.rays()
        forward = self.c2w[..., None, :3, 2]
        distance = depth.flatten(-2) / (directions * forward).sum(-1)
        points = origins + directions * distance[..., None]
        return points.reshape(*self.shape, self.height, self.width, 3)

    def length(
        self, pixels: float | Float[Tensor, "*#batch p"], depth: Float[Tensor, "*#batch p"]
    ) -> Float[Tensor, "*batch p"]:
        """World length of ``pixels`` on a surface at z-``depth`` that faces the camera."""
        focal = self.intrinsics[..., 1, 1, None]
        if self.orthographic is None:
            return pixels * depth / focal
        return pixels * torch.where(self.orthographic[..., None], 1.0, depth) / focal

    def towards(self, points: Float[Tensor, "*#batch p 3"]) -> Float[Tensor, "*batch p 3"]:
        """Unit vectors from world points to the cameras that see them."""
        found = torch.nn.functional.normalize(self.position[..., None, :] - points, dim=-1)
        if self.orthographic is None:
            return found
        return torch.where(self.orthographic[..., None, None], -self.c2w[..., None, :3, 2], found)

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
        return _merged(cameras, lambda parts: torch.stack(parts, dim))

    @staticmethod
    def cat(cameras: Sequence["Cameras"], dim: int = 0) -> "Cameras":
        return _merged(cameras, lambda parts: torch.cat(parts, dim))


def _merged(cameras: Sequence[Cameras], merge: Callable[[list[Tensor]], Tensor]) -> Cameras:
    """One batch of several; pinholes and orthographic cameras may be mixed."""
    sizes = {(c.width, c.height) for c in cameras}
    if len(sizes) != 1:
        raise InputError(f"Pictures differ in size {sorted(sizes)}: resize pictures and cameras to one.")
    flat = None
    if any(c.orthographic is not None for c in cameras):
        none = (torch.zeros(c.shape, dtype=torch.bool, device=c.device) for c in cameras)
        flat = merge([n if c.orthographic is None else c.orthographic for c, n in zip(cameras, none, strict=True)])
    c2w, intrinsics = merge([c.c2w for c in cameras]), merge([c.intrinsics for c in cameras])
    return replace(cameras[0], c2w=c2w, intrinsics=intrinsics, orthographic=flat)


def pinhole(fov: float, width: int, height: int, device: torch.device | None = None) -> Float[Tensor, "3 3"]:
    """Intrinsics in pixels of a centered lens with vertical field of view ``fov`` in degrees."""
    intrinsics = torch.eye(3, device=device)
    intrinsics[:2] *= 0.5 * height / math.tan(math.radians(fov) / 2)
    intrinsics[0, 2], intrinsics[1, 2] = width / 2, height / 2
    return intrinsics


def pixel_centers(
    width: int, height: int, stride: int = 1, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "p 2"]:
    """(x, y) of the centers of ``stride``-sized pixels in row order."""
    x = (torch.arange(width // stride, device=device, dtype=dtype) + 0.5) * stride
    y = (torch.arange(height // stride, device=device, dtype=dtype) + 0.5) * stride
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], -1).reshape(-1, 2)
