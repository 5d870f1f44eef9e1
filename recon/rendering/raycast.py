"""First hits by ray casting with Embree, on the CPU."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from recon.cameras import Cameras
from recon.mesh import TexturedMesh


def scene(mesh: TexturedMesh):
    """Embree's acceleration structure over the mesh."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    embree = EmbreeScene(robust=True)
    # Embree works in single precision; it takes plain triangles [f 3 3].
    TriangleMesh(scene=embree, vertices=mesh.triangles.detach().cpu().numpy().astype(np.float32))
    return embree


def nearest_faces(mesh: TexturedMesh, cameras: Cameras, casting=None) -> Int[Tensor, "v h w"]:
    """Index of the first triangle along each pixel's ray, -1 where there is none; ``casting`` is the mesh's scene."""
    casting = casting or scene(mesh)
    cameras = cameras.to("cpu")
    faces = torch.full((len(cameras), cameras.height, cameras.width), -1, dtype=torch.int64)
    for index in range(len(cameras)):
        camera = cameras[index : index + 1]
        left, top, right, bottom = _window(mesh, camera)
        if left >= right or top >= bottom:
            continue
        rows, columns = torch.arange(top, bottom), torch.arange(left, right)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        pixels = torch.stack([x, y], -1).reshape(1, -1, 2).to(camera.c2w.dtype) + 0.5
        origins, directions = (t[0].contiguous().numpy().astype(np.float32) for t in camera.rays(pixels))
        hits = casting.run(origins, directions, query="INTERSECT")
        faces[index, top:bottom, left:right] = torch.from_numpy(np.asarray(hits, dtype=np.int64)).reshape(y.shape)
    return faces


def _window(mesh: TexturedMesh, camera: Cameras) -> tuple[int, int, int, int]:
    """Pixels (left, top, right, bottom) outside of which no ray can hit; all of them where the mesh reaches behind."""
    pixels, depth = camera.project(mesh.vertices.detach().cpu())
    if not bool((depth > 1e-3).all()):
        return 0, 0, camera.width, camera.height
    low, high = pixels[0].amin(0).floor().long() - 1, pixels[0].amax(0).ceil().long() + 1
    left, top = low.clamp_min(0).tolist()
    return left, top, min(int(high[0]), camera.width), min(int(high[1]), camera.height)
