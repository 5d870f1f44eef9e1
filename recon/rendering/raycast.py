"""First hits by ray casting with Embree, on the CPU."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon.cameras import Cameras
from recon.mesh import TexturedMesh
from recon.rendering.visibility import Hits


def scene(mesh: TexturedMesh):
    """Embree's acceleration structure over the mesh."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    embree = EmbreeScene(robust=True)
    vertices, faces = mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy()
    TriangleMesh(embree, vertices.astype(np.float32), faces.astype(np.int32))
    return embree


def first_hits(mesh: TexturedMesh, cameras: Cameras, casting=None) -> Hits:
    """Of the rays through all pixel centres; ``casting`` is the mesh's scene."""
    casting = casting or scene(mesh)
    cameras = cameras.to("cpu")
    return Hits.cat([_of_picture(mesh, cameras[i : i + 1], casting) for i in range(len(cameras))], cameras)


def _of_picture(mesh: TexturedMesh, camera: Cameras, casting) -> Hits:
    left, top, right, bottom = _window(mesh, camera)
    if left >= right or top >= bottom:
        return Hits.none()
    columns, rows = torch.arange(left, right), torch.arange(top, bottom)
    directions = _directions(camera, columns + 0.5, rows + 0.5).reshape(-1, 3).numpy()
    origins = np.empty_like(directions)
    origins[:] = camera.position[0].numpy()
    found = casting.run(origins, directions, query="INTERSECT", output=True)
    ray = np.flatnonzero(found["primID"] >= 0)  # the background is about half of a picture
    pixel = (rows[:, None] * camera.width + columns).flatten().numpy()[ray]
    face, second, third = (found[name][ray] for name in ("primID", "u", "v"))
    return Hits(*map(torch.from_numpy, (pixel, face.astype(np.int64), second, third)))


def _directions(camera: Cameras, x: Float[Tensor, "w"], y: Float[Tensor, "h"]) -> Float[Tensor, "h w 3"]:
    """Through pixels of these columns and rows; of any length, which is the same to Embree."""
    across, down, ahead = (camera.c2w[0, :3, :3] @ torch.linalg.inv(camera.intrinsics[0])).float().unbind(1)
    return (y[:, None] * down + ahead)[:, None] + x[:, None] * across


def _window(mesh: TexturedMesh, camera: Cameras) -> tuple[int, int, int, int]:
    """Pixels (left, top, right, bottom) outside of which no ray can hit; all of them where the mesh reaches behind."""
    lens = camera.c2w[0, :3, :3] @ camera.intrinsics[0].T
    image = mesh.vertices.detach().cpu() @ lens - camera.position[0] @ lens
    depth = image[:, 2:]
    if not bool((depth > 1e-3).all()):
        return 0, 0, camera.width, camera.height
    low, high = torch.aminmax(image[:, :2] / depth, dim=0)
    (left, top), (right, bottom) = (low.floor() - 1).tolist(), (high.ceil() + 1).tolist()
    return max(int(left), 0), max(int(top), 0), min(int(right), camera.width), min(int(bottom), camera.height)
