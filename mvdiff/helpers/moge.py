"""MoGe-2 (Wang et al. 2025) by onnxruntime: points, normals, mask and field of view of a photo."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mvdiff.helpers.geometry import ImageGeometry, normals_of_points
from recon.core.conventions import normals_to_opencv
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.reading import file_sha256

#: Tokens of the backbone: the middle of the range that the authors offer.
_TOKENS = 1800
_OUTPUTS = ("points", "mask")
#: Least median cosine between stated normals and those of the points: other axes give far less.
_LEAST_AGREEMENT = 0.3


@dataclass(frozen=True)
class MogeGeometry:
    """:class:`~mvdiff.helpers.geometry.GeometryEstimator` on an exported MoGe-2 graph."""

    session: Any
    record: Mapping[str, Any]

    @staticmethod
    def from_file(path: Path, sha256: str | None = None) -> "MogeGeometry":
        """Open a graph as the authors export it.

        Args:
            path: ``.onnx`` file.
            sha256: Digest that the file must have, where it is known.

        Raises:
            InputError: onnxruntime is missing, or the file is another one.
        """
        if not is_file(path):
            raise InputError(f"There is no file '{path}': pass the .onnx file of MoGe-2.")
        found = file_sha256(path)
        if sha256 is not None and found != sha256:
            raise InputError(f"The SHA-256 of '{path}' is {found}, not {sha256}: pull this file again.")
        return MogeGeometry(_open(path), {"name": "moge-2", "sha256": found})

    def __call__(self, rgb: UInt8[np.ndarray, "h w 3"]) -> ImageGeometry:
        """Depth up to a factor, normals, confidence (the mask) and field of view.

        Raises :class:`InputError` where the graph's normals contradict its points.
        """
        feed: dict[str, np.ndarray] = {"image": (rgb.astype(np.float32) / 255).transpose(2, 0, 1)[None]}
        if "num_tokens" in {each.name for each in self.session.get_inputs()}:
            feed["num_tokens"] = np.array(_TOKENS, np.int64)
        names = [each.name for each in self.session.get_outputs()]
        made = dict(zip(names, self.session.run(None, feed), strict=True))
        points = torch.from_numpy(np.asarray(made["points"][0], np.float32)).permute(2, 0, 1)
        mask = torch.from_numpy(np.asarray(made["mask"][0], np.float32)).squeeze().clamp(0, 1)
        mask = torch.where(torch.isfinite(points).all(0) & (mask > 0.5), mask, 0.0)
        focal, shift = focal_and_shift(points, mask)
        points = torch.where(mask > 0, points + points.new_tensor([0.0, 0.0, shift])[:, None, None], 0.0)
        normal = None
        if "normal" in made:
            stated = torch.from_numpy(np.asarray(made["normal"][0], np.float32)).permute(2, 0, 1)
            normal = _checked(normals_to_opencv(torch.nn.functional.normalize(stated, dim=0), "opencv"), points, mask)
        fov = math.degrees(2 * math.atan(0.5 * rgb.shape[0] / focal))
        return ImageGeometry("depth", points[2], normal, mask, fov, metric=True)


def focal_and_shift(points: Float[Tensor, "3 h w"], mask: Float[Tensor, "h w"]) -> tuple[float, float]:
    """Focal length in pixels and shift of depth under which ``points`` project to their own pixels.

    Least squares on the projections; for each shift the focal length has a closed form (Wang et al. 2024, MoGe).

    Raises:
        InputError: Too few pixels say anything.
    """
    from scipy.optimize import least_squares

    used = mask > 0
    if int(used.sum()) < 64:
        raise InputError("The geometry of the photo is unknown: the estimator sees nothing but sky. Leave it out.")
    height, width = mask.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5 - height / 2, torch.arange(width) + 0.5 - width / 2, indexing="ij")
    every = torch.stack([x[used], y[used]], -1).double().numpy()
    kept = np.linspace(0, len(every) - 1, min(len(every), 4096)).astype(int)
    goal, known = every[kept], points[:, used].T.double().numpy()[kept]
    nearest, size = known[:, 2].min(), max(np.ptp(known[:, 2]), np.abs(known[:, :2]).max(), 1e-6)

    def projected(log_nearest: np.ndarray) -> tuple[np.ndarray, float]:
        depth = known[:, 2] - nearest + size * np.exp(log_nearest[0])
        flat = known[:, :2] / depth[:, None]
        focal = float((flat * goal).sum() / max((flat**2).sum(), 1e-12))
        return (focal * flat - goal).ravel(), focal

    starts = [np.array([start]) for start in (-2.0, 0.0, 2.0)]
    best = min((least_squares(lambda v: projected(v)[0], start) for start in starts), key=lambda each: each.cost)
    return projected(best.x)[1], float(size * np.exp(best.x[0]) - nearest)


def _checked(
    normal: Float[Tensor, "3 h w"], points: Float[Tensor, "3 h w"], mask: Float[Tensor, "h w"]
) -> Float[Tensor, "3 h w"]:
    """The normals, unless their axes are others than the points'."""
    own = normals_of_points(points)
    agreement = float((normal * own).sum(0)[mask > 0].median())
    if agreement < _LEAST_AGREEMENT:
        raise InputError(
            f"The normals of this graph contradict its points (median cosine {agreement:.2f}): it is another version "
            "than this package knows, so leave it out."
        )
    return normal


def _open(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("MoGe-2 needs onnxruntime: run `pip install 'mvdiff[helpers]'`.") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common base but this
        raise InputError(f"'{path}' is no graph that onnxruntime can read: pull this file again.") from error
    missing = [name for name in _OUTPUTS if name not in {each.name for each in session.get_outputs()}]
    if missing or "image" not in {each.name for each in session.get_inputs()}:
        raise InputError(f"'{path}' is not MoGe-2 (it lacks {', '.join(missing) or 'image'}): pass its .onnx file.")
    return session
