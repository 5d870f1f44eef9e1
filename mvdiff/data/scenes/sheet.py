"""Contact sheets of scene records."""

import numpy as np

from mvdiff.data.scenes.cameras import SPHERE_VIEWS, Role
from mvdiff.data.scenes.record import SceneRecord


def contact_row(record: SceneRecord, paths: int = 2) -> np.ndarray:
    """Contact sheet of place 0: photo, its depth, the sphere's eight views, some path views; uint8 [h w 3]."""
    first = record.place == 0
    photo = np.flatnonzero(first & (record.role == Role.PHOTO))[:1]
    sphere = np.flatnonzero(first & (record.role == Role.SPHERE))[:SPHERE_VIEWS]
    path = np.flatnonzero(record.role == Role.PATH)[:paths]
    pictures = [record.rgba[k, :3].transpose(1, 2, 0) for k in photo]
    pictures += [depth_picture(record.depth[k].astype(np.float32)) for k in photo]
    pictures += [record.rgba[k, :3].transpose(1, 2, 0) for k in (*sphere, *path)]
    return np.concatenate(pictures, 1)


def depth_picture(depth: np.ndarray) -> np.ndarray:
    """Near is bright, the sky black; half gray at the median."""
    seen = depth > 0
    median = float(np.median(depth[seen])) if seen.any() else 1.0
    value = np.where(seen, median / (median + np.maximum(depth, 1e-3)), 0)
    return np.repeat((value * 255).astype(np.uint8)[..., None], 3, -1)
