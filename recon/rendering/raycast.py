"""First hits by ray casting with Embree, on the CPU."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.rendering.hits import Hits

#: Rays per call: enough to hide the call's overhead, few enough for the processor's cache.
_RAYS = 1 << 16


def scene(mesh: TexturedMesh):
    """Embree's acceleration structure over the mesh."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    embree = EmbreeScene(robust=True)
    vertices, faces = mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy()
    TriangleMesh(embree, vertices.astype(np.float32), faces.astype(np.int32))
    return embree


def batches(cameras: Cameras) -> list[slice]:
    """Ranges of the pictures that are worked on together."""
    together = max(1, _RAYS // (cameras.width * cameras.height))
    return [slice(start, min(start + together, len(cameras))) for start in range(0, len(cameras), together)]


def first_hits(mesh: TexturedMesh, cameras: Cameras, casting=None) -> Hits:
    """First hits of the rays through all pixel centers; ``casting`` is the mesh's :func:`scene`."""
    casting = casting or scene(mesh)
    cameras = cameras.to("cpu")
    return Hits.cat([(part.start, _of_pictures(mesh, cameras[part], casting)) for part in batches(cameras)], cameras)


def _of_pictures(mesh: TexturedMesh, cameras: Cameras, casting) -> Hits:
    left, top, right, bottom = _window(mesh, cameras)
    if left >= right or top >= bottom:
        return Hits.none()
    columns, rows = torch.arange(left, right), torch.arange(top, bottom)
    directions = _directions(cameras, columns + 0.5, rows + 0.5).reshape(-1, 3).numpy()
    origins = np.empty_like(directions)
    origins.reshape(len(cameras), -1, 3)[:] = cameras.position[:, None].numpy()
    found = casting.run(origins, directions, query="INTERSECT", output=True)
    ray = np.flatnonzero(found["primID"] >= 0)  # the background is about half of a picture
    line = torch.arange(len(cameras))[:, None] * cameras.height + rows  # counted through all pictures
    pixel = (line[..., None] * cameras.width + columns).flatten().numpy()[ray]
    face, second, third = (found[name][ray] for name in ("primID", "u", "v"))
    return Hits(*map(torch.from_numpy, (pixel, face.astype(np.int64), second, third)))


def _directions(cameras: Cameras, x: Float[Tensor, "w"], y: Float[Tensor, "h"]) -> Float[Tensor, "v h w 3"]:
    """Through pixels of these columns and rows; of any length, which is the same to Embree."""
    lenses = (cameras.c2w[:, :3, :3] @ torch.linalg.inv(cameras.intrinsics)).float()
    across, down, ahead = lenses[:, None, None].unbind(-1)
    return y[:, None, None] * down + ahead + x[:, None] * across


def _window(mesh: TexturedMesh, cameras: Cameras) -> tuple[int, int, int, int]:
    """Pixels (left, top, right, bottom) outside of which no ray can hit; all of them where the mesh reaches behind."""
    lens = cameras.c2w[:, :3, :3] @ cameras.intrinsics.mT
    image = mesh.vertices.detach().cpu() @ lens - cameras.position[:, None] @ lens
    depth = image[..., 2:]
    if not bool((depth > 1e-3).all()):
        return 0, 0, cameras.width, cameras.height
    low, high = torch.aminmax((image[..., :2] / depth).flatten(0, 1), dim=0)
    (left, top), (right, bottom) = (low.floor() - 1).tolist(), (high.ceil() + 1).tolist()
    return max(int(left), 0), max(int(top), 0), min(int(right), cameras.width), min(int(bottom), cameras.height)
