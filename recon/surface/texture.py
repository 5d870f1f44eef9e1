"""UV atlas and texture: every texel takes the colours of the views that see it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.fuse import silhouette_distance
from recon.mesh import TexturedMesh
from recon.rendering.visibility import sees
from recon.views import ViewSet


@dataclass(frozen=True)
class TextureConfig:
    size: int = 512
    sharpness: float = 4.0
    """Power of the views' weights: high takes each texel from one view, low blends (and blurs what disagrees)."""
    edge_pixels: float = 2.0
    """Pixels this near to a silhouette count less: they mix in the background."""


def unwrapped(mesh: TexturedMesh, size: int) -> TexturedMesh:
    """The mesh with texture coordinates in an atlas of ``size`` squared texels."""
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices.cpu().numpy().astype(np.float32), mesh.faces.cpu().numpy().astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_iterations = 1
    packing.resolution, packing.padding, packing.bilinear = size, 2, True
    atlas.generate(charts, packing)
    _, corners, uv = atlas[0]
    # Corner by corner in the order of the faces, so that seams split nothing.
    return replace(mesh, uv=torch.from_numpy(uv[corners].astype(np.float32)).to(mesh.device))


def textured(mesh: TexturedMesh, views: ViewSet, config: TextureConfig) -> TexturedMesh:
    """``mesh`` with an atlas painted from ``views`` [1 v]."""
    mesh = unwrapped(mesh, config.size)
    face, bary = texels(mesh, config.size)
    covered = face >= 0
    corners, normals = mesh.triangles[face[covered]], mesh.vertex_normals()[mesh.faces[face[covered]]]
    weights = bary[covered][..., None]
    points = (corners * weights).sum(1)
    normal = torch.nn.functional.normalize((normals * weights).sum(1), dim=-1)
    texture = torch.zeros(config.size, config.size, 3, device=mesh.device)
    texture[covered] = surface_colors(mesh, points, normal, views, config)
    return replace(mesh, colors=None, texture=_bled(texture, covered).movedim(-1, 0))


def surface_colors(
    mesh: TexturedMesh,
    points: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    views: ViewSet,
    config: TextureConfig,
) -> Float[Tensor, "p 3"]:
    """sRGB of points on the surface: weighted means over the views that see them, nearest seen point elsewhere."""
    cameras = views.cameras[0]
    pixels, _ = cameras.project(points[None])
    size = pixels.new_tensor([cameras.width, cameras.height])
    depth_in = (-silhouette_distance(views.alpha[0]) / config.edge_pixels).clamp(0, 1)
    # Premultiplied, so that no background bleeds in.
    maps = torch.cat([views.rgb[0] * views.alpha[0], views.alpha[0], depth_in], 1)
    values = torch.nn.functional.grid_sample(
        maps, (pixels / size * 2 - 1)[:, None], padding_mode="zeros", align_corners=False
    )[:, :, 0]
    towards = torch.nn.functional.normalize(cameras.position[:, None] - points, dim=-1)
    cosine = (towards * normals).sum(-1)
    spacing = 1 / float(cameras.intrinsics[:, 1, 1].mean())
    seen = sees(mesh, cameras, points, tolerance=1.5 * spacing, supersample=2) & (cosine > 0.05)
    weight = seen * cosine.clamp(0, 1) * values[:, 3].clamp(0, 1) * (0.02 + values[:, 4])
    share = (weight / weight.amax(0).clamp_min(1e-9)) ** config.sharpness
    color = values[:, :3] / values[:, 3:4].clamp_min(1e-3)
    known = weight.amax(0) > 1e-3
    mean = (share[:, None] * color).sum(0) / share.sum(0).clamp_min(1e-9)
    return _filled(points, mean.T.clamp(0, 1), known)


def _filled(
    points: Float[Tensor, "p 3"], colors: Float[Tensor, "p 3"], known: Bool[Tensor, "p"]
) -> Float[Tensor, "p 3"]:
    """Points that no view sees take the mean colour of their nearest seen neighbours."""
    from scipy.spatial import cKDTree

    if bool(known.all()):
        return colors
    if not bool(known.any()):
        return torch.full_like(colors, 0.5)
    source = points[known].cpu().numpy()
    step = max(1, len(source) // 20_000)  # neighbours need not be dense
    distance, index = cKDTree(source[::step]).query(points[~known].cpu().numpy(), k=min(8, len(source[::step])))
    distance, index = (np.atleast_2d(a.T).T for a in (distance, index))
    weight = torch.from_numpy(1 / (distance + 1e-3) ** 2).to(colors)
    near = colors[known][::step][torch.from_numpy(index).to(colors.device)]
    filled = colors.clone()
    filled[~known] = (near * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
    return filled


def texels(mesh: TexturedMesh, size: int) -> tuple[Int[Tensor, "s s"], Float[Tensor, "s s 3"]]:
    """Face (-1: none) and barycentric coordinates of each texel's centre; the flattened mesh is cast onto."""
    from recon.rendering.raycast import scene

    flat = torch.nn.functional.pad(mesh.uv.cpu(), (0, 1)).reshape(-1, 3)
    sheet = TexturedMesh(flat, torch.arange(len(flat)).reshape(-1, 3))
    axis = (torch.arange(size) + 0.5) / size
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    origins = torch.stack([u, v, torch.ones_like(u)], -1).reshape(-1, 3)
    down = torch.tensor([0.0, 0.0, -1.0]).expand_as(origins)
    hits = scene(sheet).run(origins.numpy(), down.contiguous().numpy(), query="INTERSECT")
    face = torch.from_numpy(np.asarray(hits, dtype=np.int64))
    a, b, c = (corner[face.clamp_min(0), :2] for corner in sheet.triangles.unbind(1))
    p = origins[:, :2]
    area = _cross(b - a, c - a)
    s, t = _cross(p - a, c - a), _cross(b - a, p - a)
    s, t = (torch.where(area.abs() < 1e-12, 0.0, x / area) for x in (s, t))
    bary = torch.stack([1 - s - t, s, t], -1)
    return face.reshape(size, size).to(mesh.device), bary.reshape(size, size, 3).to(mesh.device)


def _cross(a: Float[Tensor, "p 2"], b: Float[Tensor, "p 2"]) -> Float[Tensor, "p"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _bled(texture: Float[Tensor, "s s 3"], covered: Bool[Tensor, "s s"]) -> Float[Tensor, "s s 3"]:
    """Every free texel gets the nearest chart's colour, so that filtering and mipmaps show no seams."""
    from scipy.ndimage import distance_transform_edt

    if not bool(covered.any()):
        return texture
    row, column = distance_transform_edt(~covered.cpu().numpy(), return_distances=False, return_indices=True)
    return texture[torch.from_numpy(row).long(), torch.from_numpy(column).long()]
