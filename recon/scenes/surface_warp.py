"""Warping of views with depth into other cameras over surfaces: each depth map is a mesh that is torn at its edges.

Every pixel of a target takes the first surface that its ray meets, and a mean of the views that show that surface,
weighted by how squarely and finely they do (view-dependent texture, Debevec et al. 1998).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.ops.parallel import each
from recon.rendering.visibility import visibility
from recon.rendering.warp import DEPTH_TEST, Warped
from recon.scenes.depth_maps import DepthMaps
from recon.scenes.view_agreement import view_agreement

#: Relative difference between a neighbor's nearness and that of a pixel's tangent plane from which a mesh is torn.
_TORN = 0.06
#: Surfaces that a view sees at a smaller cosine are left out.
_GRAZING = 0.08
#: Least share of the other views looking there that must confirm a surface.
_CONFIRMED = 0.3
#: Pixels of the target across one of a view from which the view is too coarse to tell.
_COARSEST = 8.0
#: Power of the weights: seams are smooth, and the best view decides.
_SHARP = 4.0


def surface_warp(views: ViewSet, targets: Cameras, trust: Float[Tensor, "n m"] | None = None) -> Warped:
    """Warp views [n m] with depth and normals into cameras [n v].

    What no view shows stays unknown: gaps behind edges of depth, surfaces that a view sees at a grazing angle or much
    more coarsely than the target would, and surfaces that other views look through. Unlike
    :func:`recon.rendering.warp.forward_warp`, surfaces that come near keep no cracks, and views that disagree by a
    little do not speckle. The sky is moved by its direction alone.

    Args:
        views: With depth and normals; alpha of at most 1/2 is sky.
        targets: The cameras to warp into.
        trust: Of each source view; 1 where it is left out. A view of trust 1 is not judged by the others.
    """
    for cameras in (views.cameras, targets):
        cameras.require_pinholes("Warping")
    trust = views.rgb.new_ones(views.rgb.shape[:2]) if trust is None else trust
    made = each(lambda k: _warped(views[k], targets[k], trust[k]), range(len(views)), views.device)
    return Warped(*(torch.stack([getattr(one, name) for one in made]) for name in ("rgb", "depth", "valid", "trust")))


@dataclass(frozen=True)
class _Pictures:
    """Pictures of ``v`` targets."""

    rgb: Float[Tensor, "v 3 h w"]
    depth: Float[Tensor, "v 1 h w"]
    valid: Float[Tensor, "v 1 h w"]
    trust: Float[Tensor, "v 1 h w"]


def _warped(views: ViewSet, targets: Cameras, trust: Float[Tensor, "m"]) -> _Pictures:
    maps = DepthMaps.of(views)
    usable = maps.measures & (maps.cosine > _GRAZING)
    usable &= (view_agreement(views) >= _CONFIRMED) | (trust >= 1)[:, None, None]
    origins, rays = targets.rays()  # [v p 3]
    seen, front = _seen(_torn_mesh(maps, usable), targets, rays)
    sky, rgb = _sky(views, rays)
    sky &= seen == 0
    hit = front
    points = _Points.of(targets, origins[hit], rays[hit], seen[hit], hit)
    found = _Mean.start(len(points.depth), rays)
    for number in range(len(maps.depth)):
        found.add(maps, usable, number, views.rgb[0, number], float(trust[number]), points)
    known, depth, share = hit.clone(), torch.zeros_like(seen), sky.float() * float(trust.max())
    known[hit] = found.weight > 0
    weight = found.weight.clamp_min(1e-12)
    depth[hit] = points.depth * (1 + (found.shift / weight).clamp(-DEPTH_TEST, DEPTH_TEST)) * (found.weight > 0)
    share[hit] = found.trust / weight
    rgb = rgb.movedim(1, -1) * sky[..., None]
    rgb[hit] = found.rgb / weight[:, None]

    def shaped(values: Float[Tensor, "v p *c"]) -> Float[Tensor, "v c h w"]:
        return values.reshape(len(seen), targets.height, targets.width, -1).movedim(-1, 1)

    return _Pictures(shaped(rgb), shaped(depth), shaped((known | sky).float()), shaped(share))


def _seen(
    mesh: TexturedMesh, targets: Cameras, rays: Float[Tensor, "v p 3"]
) -> tuple[Float[Tensor, "v p"], Bool[Tensor, "v p"]]:
    """z-depth of the first surface, 0 where there is none, and whether it is met from its front."""
    if not len(mesh.faces):
        return torch.zeros_like(rays[..., 0]), torch.zeros_like(rays[..., 0], dtype=torch.bool)
    first = visibility(mesh, targets)
    face, depth = first.face.flatten(1), first.depth.flatten(1)
    a, b, c = mesh.triangles.unbind(1)
    normal = torch.linalg.cross(b - a, c - a)[face.clamp_min(0)]
    return depth, (depth > 0) & ((normal * rays).sum(-1) < 0)


@dataclass(frozen=True)
class _Points:
    """Places where rays of the targets meet a surface."""

    place: Float[Tensor, "p 3"]
    depth: Float[Tensor, "p"]
    fineness: Float[Tensor, "p"]
    """Pixels of the target across a unit of length there."""

    @staticmethod
    def of(
        targets: Cameras,
        origins: Float[Tensor, "p 3"],
        rays: Float[Tensor, "p 3"],
        depth: Float[Tensor, "p"],
        hit: Bool[Tensor, "v q"],
    ) -> "_Points":
        view = hit.nonzero()[:, 0]
        place = origins + rays * (depth / (rays * targets.c2w[view, :3, 2]).sum(-1))[:, None]
        return _Points(place, depth, targets.intrinsics[view, 0, 0] / depth)


def _torn_mesh(maps: DepthMaps, usable: Bool[Tensor, "m h w"]) -> TexturedMesh:
    """Two triangles between the centers of four pixels of one surface, for all views."""
    m, h, w = usable.shape
    vertices = maps.cameras.unproject(torch.where(usable, maps.depth, 1.0)).reshape(-1, 3)
    index = torch.arange(m * h * w, device=usable.device).reshape(m, h, w)
    corners = [index[:, y : h - 1 + y, x : w - 1 + x] for y in (0, 1) for x in (0, 1)]
    a, b, c, d = (corner.flatten() for corner in corners)
    faces = torch.cat([torch.stack([a, c, b], -1), torch.stack([b, c, d], -1)])
    whole = usable.flatten()[faces].all(-1)
    faces = faces[whole]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        faces = faces[~_torn(maps, faces[:, first], faces[:, second])]
    return TexturedMesh(vertices, faces)


def _torn(maps: DepthMaps, first: Int[Tensor, "f"], second: Int[Tensor, "f"]) -> Bool[Tensor, "f"]:
    """Whether neither pixel's tangent plane continues in the other."""
    width = maps.inverse.shape[-1]
    near, slopes = maps.inverse.flatten(), maps.gradient.movedim(1, -1).reshape(-1, 2)
    step = torch.stack([second % width - first % width, second // width - first // width], -1)
    change = near[second] - near[first]
    bends = torch.stack([change - (slopes[k] * step).sum(-1) for k in (first, second)]).abs().amin(0)
    return bends > _TORN * torch.maximum(near[first], near[second])


@dataclass
class _Mean:
    """Weighted sums over views for each point."""

    weight: Float[Tensor, "p"]
    rgb: Float[Tensor, "p 3"]
    shift: Float[Tensor, "p"]
    """Change of depth as a share of it."""
    trust: Float[Tensor, "p"]

    @staticmethod
    def start(count: int, like: Tensor) -> "_Mean":
        return _Mean(*(like.new_zeros(count, *more) for more in ((), (3,), (), ())))

    def add(
        self,
        maps: DepthMaps,
        usable: Bool[Tensor, "m h w"],
        number: int,
        rgb: Float[Tensor, "3 h w"],
        trust: float,
        points: _Points,
    ) -> None:
        """Add what one view shows of the points."""
        camera = maps.cameras[number]
        pixels, z = (value[0] for value in maps.cameras[number : number + 1].project(points.place[None]))
        size = pixels.new_tensor([camera.width, camera.height])
        at = ((z > 0) & ((pixels >= 0) & (pixels < size)).all(-1)).nonzero()[:, 0]
        pixels, z = pixels[at], z[at]
        column, row = pixels.long().unbind(-1)
        place = row * camera.width + column
        across, down = maps.gradient[number].flatten(1)[:, place]
        nearness = maps.inverse[number].flatten()[place]
        nearness = nearness + across * (pixels[:, 0] - column - 0.5) + down * (pixels[:, 1] - row - 0.5)
        behind = 1 / nearness.clamp_min(1e-6) - z
        cosine = maps.cosine[number].flatten()[place]
        coarse = points.fineness[at] * z / camera.intrinsics[0, 0]  # pixels of the target across one of the view
        shown = usable[number].flatten()[place] & (behind.abs() < DEPTH_TEST * z) & (coarse < _COARSEST)
        at, share = at[shown], (trust * cosine / coarse.clamp_min(1.0))[shown].pow(_SHARP)
        where = (pixels[shown] / size * 2 - 1)[None, None]
        color = torch.nn.functional.grid_sample(rgb[None], where, padding_mode="border", align_corners=False)[0, :, 0].T
        self.weight[at] += share
        self.rgb[at] += share[:, None] * color
        self.shift[at] += share * (behind / z)[shown]
        self.trust[at] += share * trust * cosine[shown].sqrt()


def _sky(views: ViewSet, rays: Float[Tensor, "v p 3"]) -> tuple[Bool[Tensor, "v p"], Float[Tensor, "v 3 p"]]:
    """Directions in which a view shows sky, and its color in the first such view."""
    sky = torch.zeros(rays.shape[:2], dtype=torch.bool, device=rays.device)
    rgb = rays.new_zeros(len(rays), 3, rays.shape[1])
    cameras, alpha = views.cameras[0], views.alpha[0, :, 0]
    for number in range(views.num_views):
        camera = cameras[number]
        local = rays @ (camera.c2w[:3, :3] @ camera.intrinsics.mT)
        x, y = (local[..., :2] / local[..., 2:].clamp_min(1e-6)).floor().unbind(-1)
        inside = (local[..., 2] > 1e-3) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)
        place = torch.where(inside, y * camera.width + x, 0.0).long()
        new = inside & (alpha[number].flatten()[place] <= 0.5) & ~sky
        rgb = torch.where(new[:, None], views.rgb[0, number].flatten(1)[:, place].movedim(0, 1), rgb)
        sky |= new
    return sky, rgb
