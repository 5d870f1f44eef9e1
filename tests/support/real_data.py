"""Folders as cameras and tools leave them, written from views that are known."""

from pathlib import Path

import numpy as np
from PIL import Image

from recon.core.views import ViewSet


def write_rgbd(views: ViewSet, folder: Path, intrinsics: bool = True) -> Path:
    """Frames of color, depth in millimeters and pose; one more frame whose tracking was lost."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(views.num_views):
        name = folder / f"frame-{k:06d}"
        _picture(views, k).save(f"{name}.color.png")
        depth = (views.depth[0, k, 0].numpy() * 1000).round().astype(np.uint16)
        depth[0, 0], depth[0, 1] = 0, 65535
        Image.fromarray(depth).save(f"{name}.depth.png")
        np.savetxt(f"{name}.pose.txt", views.cameras.c2w[0, k].numpy())
    np.savetxt(folder / "frame-999999.pose.txt", np.full((4, 4), np.inf))
    if intrinsics:
        np.savetxt(folder / "camera-intrinsics.txt", views.cameras.intrinsics[0, 0].numpy())
    return folder


def write_colmap(views: ViewSet, folder: Path, points: bool = True) -> Path:
    """A text model with a sparse point in every eighth pixel of each picture."""
    model, pictures = folder / "sparse" / "0", folder / "images"
    model.mkdir(parents=True)
    pictures.mkdir()
    size, lens = views.rgb.shape[-1], views.cameras.intrinsics[0, 0].tolist()
    (model / "cameras.txt").write_text(f"1 PINHOLE {size} {size} {lens[0][0]} {lens[1][1]} {lens[0][2]} {lens[1][2]}\n")
    images, known = [], []
    world = views.cameras.unproject(views.depth[:, :, 0])[0]
    for k in range(views.num_views):
        _picture(views, k).save(pictures / f"{k:03d}.png")
        w2c = views.cameras.w2c[0, k].double().numpy()
        numbers = [*_quaternion(w2c[:3, :3]), *w2c[:3, 3]]
        images.append(" ".join(map(str, [k + 1, *numbers, 1, f"{k:03d}.png"])))
        own = []
        for y in range(4, size, 8):
            for x in range(4, size, 8):
                known.append(f"{len(known) + 1} {' '.join(str(float(c)) for c in world[k, y, x])} 9 9 9 0.1")
                own.append(f"{x} {y} {len(known)}")
        images.append(" ".join(own))
    (model / "images.txt").write_text("# two lines each\n" + "\n".join(images) + "\n")
    if points:
        (model / "points3D.txt").write_text("# number place color error\n" + "\n".join(known) + "\n")
    return folder


def _picture(views: ViewSet, k: int) -> Image.Image:
    return Image.fromarray((views.rgb[0, k] * 255).round().byte().permute(1, 2, 0).numpy())


def _quaternion(rotation: np.ndarray) -> list[float]:
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return [w, x, y, z]
