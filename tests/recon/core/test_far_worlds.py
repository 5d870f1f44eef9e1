"""Cameras of surveyors: coordinates of millions of meters around an object of one."""

import json

import numpy as np
import torch
from PIL import Image

from recon.core.bounding import BoundingSphere
from recon.core.mesh import TexturedMesh
from recon.io.views import transforms_json

ORIGIN = np.array([448_262.25, 5_411_932.5, 120.125])


def _write(folder, origin) -> None:
    picture = Image.new("RGBA", (32, 32))
    picture.paste((200, 30, 30, 255), (8, 8, 24, 24))
    frames = []
    for k in range(4):
        c, s = np.cos(k * np.pi / 2), np.sin(k * np.pi / 2)
        matrix = np.array([[c, 0, s, 3 * s], [0, 1, 0, 0], [-s, 0, c, 3 * c], [0, 0, 0, 1]])
        matrix[:3, 3] += origin
        picture.save(folder / f"{k}.png")
        frames.append({"file_path": f"{k}.png", "transform_matrix": matrix.tolist()})
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.6, "frames": frames}))


def test_the_object_is_the_same_wherever_the_world_begins(tmp_path):
    placed, spheres = [], []
    for name, origin in (("near", np.zeros(3)), ("far", ORIGIN)):
        (tmp_path / name).mkdir()
        _write(tmp_path / name, origin)
        views = transforms_json.load(tmp_path / name)
        spheres.append(BoundingSphere.of_views(views))
        placed.append(spheres[-1].to_unit(views).cameras.c2w)
    assert placed[1].dtype == torch.float32
    torch.testing.assert_close(placed[0], placed[1], atol=1e-5, rtol=0)
    assert spheres[0].shift == (0.0, 0.0, 0.0)
    point = torch.tensor([[0.1, 0.2, 0.3]])
    meshes = [sphere.from_unit(TexturedMesh(point, torch.zeros(0, 3, dtype=torch.long))) for sphere in spheres]
    near, far = (mesh.vertices[0].double().numpy() for mesh in meshes)
    np.testing.assert_allclose(far + spheres[1].shift, near + ORIGIN, atol=1e-4)
