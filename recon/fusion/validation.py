"""Whether views can be reconstructed at all: what is wrong with them is said in one sentence, before any work."""

import logging
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.core.views import ViewSet
from recon.fusion.observations import ObservationMaps, showing
from recon.ops.parallel import in_threads

logger = logging.getLogger(__name__)

_ROTATION_TOLERANCE = 1e-2
#: Coarse places where silhouettes must meet.
_PLACES = 24


def validate_views(views: ViewSet, extent: float) -> ViewSet:
    """``views`` [n v], with the silhouettes of their depths where they have no alpha of their own.

    Raises :class:`InputError` for views that no object can be made of. Views that show nothing are only warned of:
    they say nothing about the object, and the fusion leaves them out.
    """
    if len(views) == 0 or views.num_views < 2:
        raise InputError(f"One object needs at least two views from different sides, not {views.num_views}.")
    _check_numbers(views)
    _check_cameras(views)
    views = _with_silhouettes(views)
    in_threads(lambda k: _check_hypothesis(views[k], k, extent), range(len(views)))
    return views


def _check_numbers(views: ViewSet) -> None:
    channels = {
        "colours": views.rgb,
        "alpha": views.alpha,
        "normals": views.normal,
        "depth": views.depth,
        "camera matrix": views.cameras.c2w,
        "intrinsics": views.cameras.intrinsics,
    }
    for name, values in channels.items():
        if values is not None:
            broken = ~torch.isfinite(values).flatten(2).all(-1)
            _fail(broken, f"has values in its {name} that are not finite numbers: mend it or leave it out")
    if views.depth is not None:
        _fail((views.depth < 0).flatten(2).any(-1), "has negative depth: measure it forwards along the camera's axis")


def _check_cameras(views: ViewSet) -> None:
    c2w, lens = views.cameras.c2w, views.cameras.intrinsics
    rotation = c2w[..., :3, :3].double()
    identity = torch.eye(3, dtype=torch.float64, device=rotation.device)
    skewed = (rotation.transpose(-1, -2) @ rotation - identity).abs().amax((-1, -2)) > _ROTATION_TOLERANCE
    _fail(skewed, "has a camera matrix that is no rotation with a position: remove its scale and shear")
    _fail(torch.linalg.det(rotation) < 0, "has a left-handed (mirrored) camera: use right-handed OpenCV axes")
    last = (c2w[..., 3, :] - c2w.new_tensor([0.0, 0.0, 0.0, 1.0])).abs().amax(-1) > 1e-4
    _fail(last, "has a camera matrix whose last row is not 0 0 0 1 (is it transposed?)")
    focal = torch.minimum(lens[..., 0, 0], lens[..., 1, 1])
    _fail(focal <= 0, "has a focal length that is not positive: give intrinsics in pixels")


def _fail(wrong: Bool[Tensor, "n v"], reason: str) -> None:
    if bool(wrong.any()):
        k, view = wrong.nonzero()[0].tolist()
        where = f"View {view}" if len(wrong) == 1 else f"View {view} of hypothesis {k}"
        raise InputError(f"{where} {reason}.")


def _with_silhouettes(views: ViewSet) -> ViewSet:
    """Pictures that are opaque everywhere have no alpha; a depth of zero then says where there is nothing."""
    opaque = (views.alpha > 0.5).flatten(2).all(-1)
    if not bool(opaque.all()):
        return views
    if views.depth is None or bool((views.depth > 0).all()):
        raise InputError("No view has a background: give pictures whose alpha cuts the object out.")
    return replace(views, alpha=(views.depth > 0).to(views.alpha))


def _check_hypothesis(views: ViewSet, k: int, extent: float) -> None:
    shown = showing(views)[0]
    if not bool(shown.all()):
        empty = (~shown).nonzero()[:, 0].tolist()
        logger.warning("Views %s of hypothesis %d show nothing and are left out.", empty, k)
    if int(shown.sum()) < 2:
        return
    views = views.select_views(shown.nonzero()[:, 0].tolist())
    maps = ObservationMaps.of(replace(views, depth=None, normal=None))
    points = VoxelGrid(torch.zeros(3, device=views.device), extent, _PLACES).points().reshape(-1, 3)
    spacing = 2 * extent / _PLACES
    seen = maps.read(points[None])
    agreeing = (seen.visible & (seen.outside < spacing)).sum(0)
    if int(agreeing.amax()) < 2:
        raise InputError(
            "The views have no overlap: no place in the cube of half side "
            f"{extent:g} around the origin lies within two silhouettes (are the cameras those of the pictures?)."
        )
    # A camera inside the object stands deep in everybody else's silhouette.
    seen = maps.read(views.cameras.position)
    deep = seen.visible & (seen.outside < -spacing)
    deep.fill_diagonal_(True)
    near = views.cameras.position[0].abs().amax(-1) < extent
    inside = near & deep.all(0)
    if bool(inside.any()):
        raise InputError(
            f"The camera of view {int(inside.nonzero()[0])} stands inside the object: give views from outside."
        )
