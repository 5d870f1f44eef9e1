"""First hits by rasterising on CUDA: one Triton program for each triangle of each view.

Every covered pixel keeps the smallest 64-bit word (depth bits, triangle index) by an atomic minimum, which settles
visibility in one pass without sorting; positive floats order like their bits. Triangles that cross the near plane are
drawn by a second kernel in homogeneous coordinates (Olano and Greer 1997), which needs no clipped copies of them.
"""

import inspect
import threading

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh

_NEAR = 1e-4
_EMPTY = 0x7FFFFFFFFFFFFFFF
_TILE = 8
#: Barycentric slack, so that rounding opens no gap between neighbors; Embree's robust mode does the same.
_SLACK = 1e-5


#: Triton compiles at the first launch: once, not in every thread that comes by.
_LAUNCHING = threading.Lock()


def _kernel(function):
    # The tests' type-checking hook wraps functions; Triton compiles the plain one. Once for all meshes and pictures:
    # it would do so again for sizes that sixteen divides.
    return triton.jit(inspect.unwrap(function), do_not_specialize=["faces", "width", "height"])


def _helper(function):
    return triton.jit(inspect.unwrap(function))


@_kernel
def _rasterize(corners, buffer, faces, width, height, near, TILE: tl.constexpr, SLACK: tl.constexpr):
    face = tl.program_id(0)
    view = tl.program_id(1)
    base = (view.to(tl.int64) * faces + face) * 9
    x0, y0, z0 = tl.load(corners + base), tl.load(corners + base + 1), tl.load(corners + base + 2)
    x1, y1, z1 = tl.load(corners + base + 3), tl.load(corners + base + 4), tl.load(corners + base + 5)
    x2, y2, z2 = tl.load(corners + base + 6), tl.load(corners + base + 7), tl.load(corners + base + 8)
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    in_front = (z0 > near) & (z1 > near) & (z2 > near)
    left = tl.maximum(tl.floor(tl.minimum(x0, tl.minimum(x1, x2)) - 0.5), 0.0)
    right = tl.minimum(tl.ceil(tl.maximum(x0, tl.maximum(x1, x2)) + 0.5), width * 1.0)
    top = tl.maximum(tl.floor(tl.minimum(y0, tl.minimum(y1, y2)) - 0.5), 0.0)
    bottom = tl.minimum(tl.ceil(tl.maximum(y0, tl.maximum(y1, y2)) + 0.5), height * 1.0)
    if in_front & (tl.abs(area) > 1e-12) & (left < right) & (top < bottom):
        inverse = 1.0 / area
        w0, w1, w2 = 1.0 / z0, 1.0 / z1, 1.0 / z2
        low, high = tl.minimum(w0, tl.minimum(w1, w2)), tl.maximum(w0, tl.maximum(w1, w2))
        x_start, x_end = left.to(tl.int32), right.to(tl.int32)
        y_start, y_end = top.to(tl.int32), bottom.to(tl.int32)
        columns = tl.arange(0, TILE)[None, :]
        rows = tl.arange(0, TILE)[:, None]
        for y in range(y_start, y_end, TILE):
            for x in range(x_start, x_end, TILE):
                px = (x + columns).to(tl.float32) + 0.5
                py = (y + rows).to(tl.float32) + 0.5
                b1 = ((px - x0) * (y2 - y0) - (x2 - x0) * (py - y0)) * inverse
                b2 = ((x1 - x0) * (py - y0) - (px - x0) * (y1 - y0)) * inverse
                b0 = 1.0 - b1 - b2
                inside = (b0 >= -SLACK) & (b1 >= -SLACK) & (b2 >= -SLACK)
                inside = inside & (x + columns < width) & (y + rows < height)
                # 1/z is linear on the screen; the slack must not carry it past the corners.
                nearness = tl.minimum(tl.maximum(b0 * w0 + b1 * w1 + b2 * w2, low), high)
                depth = 1.0 / nearness
                word = (depth.to(tl.int32, bitcast=True).to(tl.int64) << 32) | face.to(tl.int64)
                pixel = (view.to(tl.int64) * height + y + rows) * width + x + columns
                tl.atomic_min(buffer + pixel, word, mask=inside, sem="relaxed")


@_helper
def _bounds_in_front(xa, ya, za, xb, yb, zb, near):
    """Screen bounds (left, right, top, bottom) of an edge's part in front; reversed bounds where there is none."""
    start = tl.minimum(tl.maximum((near - za) / tl.where(zb == za, 1.0, zb - za), 0.0), 1.0)
    cut_x, cut_y = (xa + (xb - xa) * start) / near, (ya + (yb - ya) * start) / near
    ax, ay = tl.where(za > near, xa / za, cut_x), tl.where(za > near, ya / za, cut_y)
    bx, by = tl.where(zb > near, xb / zb, cut_x), tl.where(zb > near, yb / zb, cut_y)
    some = (za > near) | (zb > near)
    left, right = tl.where(some, tl.minimum(ax, bx), 1e9), tl.where(some, tl.maximum(ax, bx), -1e9)
    top, bottom = tl.where(some, tl.minimum(ay, by), 1e9), tl.where(some, tl.maximum(ay, by), -1e9)
    return left, right, top, bottom


@_kernel
def _rasterize_crossing(corners, pairs, buffer, faces, width, height, near, TILE: tl.constexpr, SLACK: tl.constexpr):
    """One program for each (view, face) of ``pairs``: what lies in front of the near plane of a triangle across it."""
    pair = tl.program_id(0)
    view, face = tl.load(pairs + 2 * pair), tl.load(pairs + 2 * pair + 1)
    base = (view * faces + face) * 9
    # Back to pixels times depth, which is linear on the triangle.
    z0, z1, z2 = tl.load(corners + base + 2), tl.load(corners + base + 5), tl.load(corners + base + 8)
    x0, y0 = tl.load(corners + base) * z0, tl.load(corners + base + 1) * z0
    x1, y1 = tl.load(corners + base + 3) * z1, tl.load(corners + base + 4) * z1
    x2, y2 = tl.load(corners + base + 6) * z2, tl.load(corners + base + 7) * z2
    left01, right01, top01, bottom01 = _bounds_in_front(x0, y0, z0, x1, y1, z1, near)
    left12, right12, top12, bottom12 = _bounds_in_front(x1, y1, z1, x2, y2, z2, near)
    left20, right20, top20, bottom20 = _bounds_in_front(x2, y2, z2, x0, y0, z0, near)
    left = tl.maximum(tl.floor(tl.minimum(left01, tl.minimum(left12, left20)) - 0.5), 0.0)
    right = tl.minimum(tl.ceil(tl.maximum(right01, tl.maximum(right12, right20)) + 0.5), width * 1.0)
    top = tl.maximum(tl.floor(tl.minimum(top01, tl.minimum(top12, top20)) - 0.5), 0.0)
    bottom = tl.minimum(tl.ceil(tl.maximum(bottom01, tl.maximum(bottom12, bottom20)) + 0.5), height * 1.0)
    if (left < right) & (top < bottom):
        farthest = tl.maximum(z0, tl.maximum(z1, z2))
        x_start, x_end = left.to(tl.int32), right.to(tl.int32)
        y_start, y_end = top.to(tl.int32), bottom.to(tl.int32)
        columns = tl.arange(0, TILE)[None, :]
        rows = tl.arange(0, TILE)[:, None]
        for y in range(y_start, y_end, TILE):
            for x in range(x_start, x_end, TILE):
                px = (x + columns).to(tl.float32) + 0.5
                py = (y + rows).to(tl.float32) + 0.5
                # Corners relative to the pixel's ray: edge functions without cancellation.
                u0, v0 = x0 - px * z0, y0 - py * z0
                u1, v1 = x1 - px * z1, y1 - py * z1
                u2, v2 = x2 - px * z2, y2 - py * z2
                e0, e1, e2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
                total = e0 + e1 + e2
                scale = 1.0 / tl.where(total == 0.0, 1.0, total)
                depth = (e0 * z0 + e1 * z1 + e2 * z2) * scale
                inside = (e0 * scale >= -SLACK) & (e1 * scale >= -SLACK) & (e2 * scale >= -SLACK)
                inside = inside & (total != 0.0) & (depth > near)
                inside = inside & (x + columns < width) & (y + rows < height)
                depth = tl.minimum(tl.maximum(depth, near), farthest)
                word = (depth.to(tl.int32, bitcast=True).to(tl.int64) << 32) | face
                pixel = (view * height + y + rows) * width + x + columns
                tl.atomic_min(buffer + pixel, word, mask=inside, sem="relaxed")


def _as_perspective(depth: Float[Tensor, "v k"]) -> Float[Tensor, "v k"]:
    """Depths with the same order and the same sign whose reciprocals are linear on the pictures of parallel rays.

    Triangles that cross the near plane are none of the kernels' business then: :func:`crosses` finds them before.
    """
    low, high = (bound[:, None] for bound in torch.aminmax(depth.clamp_min(_NEAR), dim=1))
    span = (high - low).clamp_min(_NEAR)
    return torch.where(depth > _NEAR, span / (high + span - depth), -1.0)


def crosses(mesh: TexturedMesh, cameras: Cameras) -> bool:
    """Whether a triangle crosses the near plane of an orthographic camera, which this rasterizer does not draw."""
    if cameras.orthographic is None:
        return False
    front = (cameras.project(mesh.vertices)[1] > _NEAR)[:, mesh.faces]
    return bool(((front.any(-1) & ~front.all(-1)) & cameras.orthographic[:, None]).any())


def nearest_faces(mesh: TexturedMesh, cameras: Cameras) -> Int[Tensor, "v h w"]:
    """Index of the nearest triangle at each pixel center, -1 where there is none."""
    v, f = len(cameras), len(mesh)
    buffer = torch.full((v, cameras.height, cameras.width), _EMPTY, dtype=torch.int64, device=mesh.device)
    pixels, depth = cameras.project(mesh.vertices)
    # As projecting has it: a corner in the camera's plane keeps its place when its pixel is multiplied by its depth.
    depth = torch.where(depth.abs() < 1e-8, 1e-8, depth)
    if cameras.orthographic is not None:
        depth = torch.where(cameras.orthographic[:, None], _as_perspective(depth), depth)
    corners = torch.cat([pixels, depth[..., None]], -1)[:, mesh.faces].float().contiguous()  # [v f 3 3]
    front = corners[..., 2] > _NEAR
    pairs = (front.any(-1) & ~front.all(-1)).nonzero().contiguous()
    size = (cameras.width, cameras.height)
    with _LAUNCHING, torch.cuda.device_of(buffer):  # Triton launches on the current device, not on its arguments'
        _rasterize[(f, v)](corners, buffer, f, *size, _NEAR, TILE=_TILE, SLACK=_SLACK, num_warps=1)
        if len(pairs):
            place = (corners, pairs, buffer, f, *size, _NEAR)
            _rasterize_crossing[(len(pairs),)](*place, TILE=_TILE, SLACK=_SLACK, num_warps=1)
    return torch.where(buffer == _EMPTY, -1, buffer & 0xFFFFFFFF)
