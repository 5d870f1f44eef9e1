"""Closed-form matting (Levin, Lischinski and Weiss 2008): alpha in the unknown band of a trimap."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

#: Regularization of the covariance of a window's colors.
_EPSILON = 1e-7
#: Weight that pulls an unknown pixel without a known neighbor towards 1/2.
_RIDGE = 1e-9


def closed_form_alpha(
    rgb: Float[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"], outside: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Solve the matting Laplacian for the pixels that are neither ``inside`` (alpha 1) nor ``outside`` (alpha 0).

    Args:
        rgb: colors in [0, 1].
        inside: pixels of the object.
        outside: pixels of the background.

    Returns:
        Alpha in [0, 1].
    """
    from scipy.sparse import identity
    from scipy.sparse.linalg import splu

    alpha = inside.astype(np.float64)
    unknown = ~(inside | outside)
    if not unknown.any():
        return alpha
    laplacian = matting_laplacian(rgb, unknown)
    free = np.flatnonzero(unknown)
    rows = laplacian[free]
    own = rows[:, free] + _RIDGE * identity(len(free))
    known = rows @ (alpha.ravel() * ~unknown.ravel())
    # The matrix is symmetric and positive: the ordering for such ones is ten times as fast as the default.
    factor = splu(own.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    alpha.ravel()[free] = factor.solve(_RIDGE / 2 - known)
    return alpha.clip(0, 1)


def matting_laplacian(rgb: Float[np.ndarray, "h w 3"], unknown: Bool[np.ndarray, "h w"]) -> Any:
    """Sum of the 3 x 3 windows that hold an unknown pixel, as a sparse matrix [h*w, h*w]."""
    from scipy.sparse import coo_matrix

    height, width = unknown.shape
    members = _windows(unknown)
    colors = rgb.reshape(-1, 3).astype(np.float64)[members]
    centered = colors - colors.mean(1, keepdims=True)
    covariance = centered.transpose(0, 2, 1) @ centered / 9 + _EPSILON / 9 * np.eye(3)
    affinity = (1 + centered @ np.linalg.inv(covariance) @ centered.transpose(0, 2, 1)) / 9
    values = np.eye(9) - affinity
    rows, columns = np.repeat(members, 9, 1), np.tile(members, (1, 9))
    size = height * width
    return coo_matrix((values.ravel(), (rows.ravel(), columns.ravel())), (size, size)).tocsr()


def _windows(unknown: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "m 9"]:
    """Flat indices of the pixels of each 3 x 3 window inside the picture that holds an unknown pixel."""
    index = np.arange(unknown.size).reshape(unknown.shape)
    views = np.lib.stride_tricks.sliding_window_view
    members = views(index, (3, 3)).reshape(-1, 9)
    return members[views(unknown, (3, 3)).reshape(-1, 9).any(1)]
