"""Pictures of a scene by ray casting with Embree, on one thread of the processor.

Depth, normal and sky are those of the ray through the pixel's center, so that no pixel mixes two surfaces. Colors come
from textures at the mip level of the pixel; where neighbors differ they are the mean of four rays more.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mvdiff.data.scenes.scene import Scene
from recon.core.cameras import Cameras

#: Cast and shaded together: what is worked on then stays in the processor's cache.
_RAYS = 1 << 15
#: Differences between neighbors from which a pixel counts as an edge: of sRGB, of normals, of depth (relative).
_COLOR, _NORMAL, _DEPTH = 0.06, 0.15, 0.08
#: Embree's distance where nothing is hit is larger.
_NOTHING = 1e6
_EDGE_RAYS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))


@dataclass(frozen=True)
class SceneViews:
    """Rendered channels of several cameras."""

    rgb: Float[Tensor, "v h w 3"]
    """sRGB in [0, 1], lit; the sky has its color, too."""
    alpha: Float[Tensor, "v h w"]
    """Share of the pixel that is not sky."""
    normal: Float[Tensor, "v h w 3"]
    """Unit normals in world axes that face the camera, 0 at the sky."""
    depth: Float[Tensor, "v h w"]
    """z-depth in the scene's unit, 0 at the sky."""


class SceneRenderer:
    """Keeps what all pictures of a scene need."""

    def __init__(self, scene: Scene) -> None:
        self.scene, soup = scene, scene.soup
        corners = np.concatenate([soup.normals, soup.albedo, scene.light, soup.uv], -1).astype(np.float32)
        faces = soup.faces.astype(np.int64)
        a, b, c = (corners[faces[:, k]] for k in range(3))
        # Value = base + u * (b - a) + v * (c - a): one gather for all that lives on corners.
        self._corners = torch.from_numpy(np.stack([a, b - a, c - a], 1))
        self._material = torch.from_numpy(soup.material.astype(np.int64))
        self._density = torch.from_numpy(_periods_per_meter(soup.vertices, soup.uv, faces))
        self._solid = torch.from_numpy(soup.solid[faces[:, 0]])
        self._sky = torch.from_numpy(scene.sky)

    def views(self, cameras: Cameras) -> SceneViews:
        """Render the views of ``cameras`` [v]."""
        v, h, w = len(cameras), cameras.height, cameras.width
        values = torch.empty(v, h * w, 8)
        together = max(1, _RAYS // (h * w))
        centers = torch.stack(torch.meshgrid(torch.arange(w) + 0.5, torch.arange(h) + 0.5, indexing="xy"), -1)
        for start in range(0, v, together):
            part = slice(start, min(start + together, v))
            view = torch.arange(part.start, part.stop).repeat_interleave(h * w)
            pixels = centers.reshape(-1, 2).repeat(part.stop - part.start, 1)
            values[part] = self._cast(cameras, view, pixels).reshape(-1, h * w, 8)
        rgb, normal, depth, alpha = values.reshape(v, h, w, 8).split([3, 3, 1, 1], -1)
        rgb, depth, alpha = rgb.contiguous(), depth[..., 0], alpha[..., 0].contiguous()
        self._smooth_edges(cameras, rgb, alpha, edges(rgb, normal, depth, alpha))
        return SceneViews(rgb, alpha, normal.contiguous(), depth.contiguous())

    def depth(self, cameras: Cameras) -> Float[Tensor, "v h w"]:
        """z-depth alone, 0 at the sky."""
        origins, ways = cameras.rays()
        forward = cameras.c2w[:, None, :3, 2]
        ways = ways / (ways * forward).sum(-1, keepdim=True)
        reach = self.scene.casting.run(
            origins.reshape(-1, 3).contiguous().numpy(), ways.reshape(-1, 3).numpy(), query="DISTANCE"
        )
        reach = torch.from_numpy(np.asarray(reach, np.float32)).reshape(len(cameras), cameras.height, cameras.width)
        return torch.where(reach < _NOTHING, reach, 0.0)

    def _smooth_edges(
        self,
        cameras: Cameras,
        rgb: Float[Tensor, "v h w 3"],
        alpha: Float[Tensor, "v h w"],
        edge: Bool[Tensor, "v h w"],
    ) -> None:
        """Replace color and alpha of edge pixels by means of four rays, in place."""
        view, row, column = edge.nonzero(as_tuple=True)
        center = torch.stack([column, row], -1) + 0.5
        offsets = torch.tensor(_EDGE_RAYS)
        for start in range(0, len(view), _RAYS // 4):
            part = slice(start, start + _RAYS // 4)
            pixels = (center[part, None] + offsets).reshape(-1, 2)
            values = self._cast(cameras, view[part].repeat_interleave(4), pixels).reshape(-1, 4, 8).mean(1)
            place = view[part], row[part], column[part]
            rgb[place], alpha[place] = values[:, :3], values[:, 7]

    def _cast(self, cameras: Cameras, view: Int[Tensor, "p"], pixels: Float[Tensor, "p 2"]) -> Float[Tensor, "p 8"]:
        """Colour, normal, depth and alpha of rays."""
        lens = (cameras.c2w[:, :3, :3] @ torch.linalg.inv(cameras.intrinsics)).index_select(0, view)
        ways = lens[:, :, 0] * pixels[:, :1] + lens[:, :, 1] * pixels[:, 1:] + lens[:, :, 2]  # z-depth 1
        origins = cameras.position.index_select(0, view)
        found = self.scene.casting.run(origins.numpy(), ways.numpy(), query="INTERSECT", output=True)
        hit = torch.from_numpy(np.flatnonzero(found["primID"] >= 0))
        face, u, v, depth = (torch.from_numpy(found[name])[hit] for name in ("primID", "u", "v", "tfar"))
        out = torch.zeros(len(view), 8)
        if len(hit):
            focal = cameras.intrinsics[:, 0, 0].index_select(0, view[hit])
            surface = self._shade(face.long(), u, v, depth, origins[hit], ways[hit], focal)
            out[hit] = torch.cat([surface, torch.ones(len(hit), 1)], -1)
        missed = (out[:, 7] == 0).nonzero()[:, 0]
        if len(missed):
            out[missed, :3] = sky_color(self._sky, ways[missed])
        return out

    def _shade(
        self,
        face: Int[Tensor, "p"],
        u: Float[Tensor, "p"],
        v: Float[Tensor, "p"],
        depth: Float[Tensor, "p"],
        origins: Float[Tensor, "p 3"],
        ways: Float[Tensor, "p 3"],
        focal: Float[Tensor, "p"],
    ) -> Float[Tensor, "p 7"]:
        """Colour, normal and depth of hits."""
        first, second, third = self._corners.index_select(0, face).unbind(1)
        values = first + second * u[:, None] + third * v[:, None]
        normal, albedo, light, uv = values.split([3, 3, 3, 2], -1)
        length = torch.linalg.vector_norm(ways, dim=-1)
        cosine = -(normal * ways).sum(-1) / length
        normal = normal / torch.copysign(torch.linalg.vector_norm(normal, dim=-1).clamp_min(1e-6), cosine)[:, None]
        texels = 128 * self._density[face] * depth / focal / cosine.abs().clamp(0.15, 1).sqrt()
        albedo = albedo * self.scene.atlas.sample(self._material[face], uv, texels)
        if self.scene.sun is not None:
            light = light + self._sunlight(face, normal, origins + ways * depth[:, None])
        rgb = (1 - torch.exp(-1.6 * albedo * light)).clamp(1e-4, 1) ** (1 / 2.2)
        return torch.cat([rgb, normal, depth[:, None]], -1)

    def _sunlight(
        self, face: Int[Tensor, "p"], normal: Float[Tensor, "p 3"], position: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p 3"]:
        """With a shadow ray from each point that faces the sun."""
        sun = self.scene.sun
        toward = torch.from_numpy(np.asarray(sun.direction, np.float32))
        facing = normal @ toward
        lit = (facing > 0.01).nonzero()[:, 0]
        strength = torch.zeros(len(face))
        if len(lit):
            origins = position[lit] + normal[lit] * 0.004 + toward * 0.01
            ways = toward.expand(len(lit), 3).contiguous().numpy()
            free = self.scene.casting.run(origins.numpy(), ways, query="OCCLUDED")
            strength[lit] = facing[lit] * torch.from_numpy(np.asarray(free) != 0)
        return strength[:, None] * torch.from_numpy(np.asarray(sun.color, np.float32))


def edges(
    rgb: Float[Tensor, "v h w 3"],
    normal: Float[Tensor, "v h w 3"],
    depth: Float[Tensor, "v h w"],
    alpha: Float[Tensor, "v h w"],
) -> Bool[Tensor, "v h w"]:
    """Pixels that differ from one of their four neighbors."""
    edge = torch.zeros(depth.shape, dtype=torch.bool)
    for axis in (1, 2):
        (c, d), (n, m), (z, y), (a, b) = (_neighbors(picture, axis) for picture in (rgb, normal, depth, alpha))
        apart = ((c - d).abs().amax(-1) > _COLOR) | (((n - m) ** 2).sum(-1) > 2 * _NORMAL) | (a != b)
        apart |= (z - y).abs() > _DEPTH * torch.minimum(z, y)
        for part in _neighbors(edge, axis):
            part.logical_or_(apart)
    return edge


def _neighbors(picture: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Views of all pixels that have a neighbor after them along ``axis``, and of these neighbors."""
    count = picture.shape[axis] - 1
    return picture.narrow(axis, 0, count), picture.narrow(axis, 1, count)


def sky_color(sky: Float[Tensor, "h w 3"], ways: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """Bilinear look-up of directions of any length; the middle column is -Z, +X to the right."""
    h, w = sky.shape[:2]
    up = torch.asin((ways[:, 1] / torch.linalg.vector_norm(ways, dim=-1)).clamp(-1, 1))
    x = (torch.atan2(ways[:, 0], -ways[:, 2]) / (2 * torch.pi) + 0.5) * w - 0.5
    y = ((0.5 - up / torch.pi) * h - 0.5).clamp(0, h - 1)
    left, top = x.floor(), y.floor()
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    left, top = left.long() % w, top.long()
    right, bottom = (left + 1) % w, (top + 1).clamp_max(h - 1)
    upper = torch.lerp(sky[top, left], sky[top, right], fx)
    return torch.lerp(upper, torch.lerp(sky[bottom, left], sky[bottom, right], fx), fy)


def _periods_per_meter(vertices: np.ndarray, uv: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Texture scale of each face: square root of the ratio of its areas in the texture and in the world."""

    def area(points: np.ndarray) -> np.ndarray:
        one, two = points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
        if points.shape[1] == 2:
            return np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
        return np.linalg.norm(np.cross(one, two), axis=-1)

    return np.sqrt(area(uv) / np.maximum(area(vertices), 1e-12)).clip(0, 100).astype(np.float32)
