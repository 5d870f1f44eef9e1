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


def nearest_faces(mesh: TexturedMesh, cameras: Cameras) -> Int[Tensor, "v h w"]:
    """Index of the first triangle along each pixel's ray, -1 where there is none."""
    shape = (len(cameras), cameras.height, cameras.width)
    origins, directions = (t.detach().reshape(-1, 3).cpu().contiguous().numpy() for t in cameras.rays())
    hits = scene(mesh).run(origins.astype(np.float32), directions.astype(np.float32), query="INTERSECT")
    return torch.from_numpy(np.asarray(hits, dtype=np.int64)).reshape(shape)
