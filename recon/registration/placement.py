"""Several meshes of the object in one photo, brought into one frame under one camera."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.bounding import UNIT_RADIUS
from recon.core.mesh import TexturedMesh
from recon.core.photo_camera import PhotoCamera
from recon.ops.parallel import in_threads
from recon.registration.matching import Encoder, Matcher
from recon.registration.poses import FrameChoice, Poses
from recon.registration.refine import Stage, refine
from recon.registration.register import Registration, RegistrationConfig, register_to_photo
from recon.rendering import render_mesh

#: Last refinement, of poses whose perspective is the common one.
_LAST = Stage(64, 4, 1)


@dataclass(frozen=True)
class Placed:
    """Meshes [n] in the photo's frame: +Y up, photographed from +Z, all by the same lens.

    A photo determines neither the size of its object nor its distance. The lens is the median of those that the
    meshes ask for. Each mesh then gets the size and the place at which it looks as it did, and the surface that the
    photo shows is as far away as that of the others.
    """

    meshes: tuple[TexturedMesh, ...]
    cameras: PhotoCamera
    """The photo's camera [n]; only the elevation differs between meshes."""
    registrations: tuple[Registration, ...]


def place(
    meshes: Sequence[TexturedMesh],
    rgba: Float[Tensor, "4 s s"],
    frame: FrameChoice = "auto",
    config: RegistrationConfig | None = None,
    encoder: Encoder | None = None,
    done: Callable[[int], None] | None = None,
) -> Placed:
    """Register every mesh to the photo and bring all of them into its frame.

    Args:
        meshes: Meshes of any size and place, in the axes of their files.
        rgba: The cut-out photo, sRGB with straight alpha.
        frame: Axes of the meshes, see :func:`recon.registration.register.register_to_photo`.
        config: Settings.
        encoder: Features of pictures, compared beside silhouettes and colors.
        done: Called with the number of meshes that are ready.

    Raises:
        InputError: A mesh has no faces, or the photo shows no object.
    """
    config = config or RegistrationConfig()
    units = [mesh.normalized(UNIT_RADIUS) for mesh in meshes]
    found = in_threads(lambda mesh: register_to_photo(mesh, rgba, frame, config, encoder), units, done)
    distance = _median([r.camera.distance for r in found])
    found = in_threads(
        lambda k: _with_distance(units[k], rgba, found[k], float(distance), frame, config), range(len(found))
    )
    own = PhotoCamera.cat([r.camera for r in found])
    zero = torch.zeros(len(found))
    x, y, scale = (_median([values]) + zero for values in (own.centre_x, own.centre_y, own.log_scale))
    common = PhotoCamera(own.elevation, x, y, scale, own.distance, zero)
    placed = [
        unit.transformed(_similarity(r, common[k : k + 1]))
        for k, (unit, r) in enumerate(zip(units, found, strict=True))
    ]
    return Placed(tuple(_at_one_depth(placed, common, rgba[3])), common, tuple(found))


def _median(values: Sequence[Float[Tensor, "*n"]]) -> Float[Tensor, ""]:
    return torch.cat([value.flatten() for value in values]).double().quantile(0.5).float()


def _with_distance(
    unit: TexturedMesh,
    rgba: Float[Tensor, "4 s s"],
    found: Registration,
    distance: float,
    frame: FrameChoice,
    config: RegistrationConfig,
) -> Registration:
    """The registration with a given distance of the camera; its runners-up stay as they are."""
    camera = replace(found.camera, distance=torch.tensor([distance]))
    start = Poses(found.poses.world[:1], camera)
    free = torch.tensor([frame != "photo", True, True, True, True, False])
    matcher = Matcher(unit, rgba, config.match)
    pose, _ = refine(matcher, start, _LAST, free, math.log(distance), config.refine)
    overlap = matcher.overlap(matcher.pictures(pose, _LAST.size))
    return replace(found, poses=Poses.cat([pose, found.poses[1:]]), overlap=float(overlap[0]))


def _at_one_depth(
    meshes: Sequence[TexturedMesh], cameras: PhotoCamera, alpha: Float[Tensor, "s s"]
) -> list[TexturedMesh]:
    """The meshes scaled about their cameras, which changes no picture, until what the photo shows is equally far."""
    placed = cameras.cameras(_LAST.size)
    shown = torch.nn.functional.interpolate(alpha[None, None], size=(_LAST.size, _LAST.size), mode="area")[0, 0] > 0.5

    def depth(k: int) -> Float[Tensor, ""]:
        seen = render_mesh(meshes[k], placed[k : k + 1], supersample=1)
        both = shown & (seen.alpha[0, 0, 0] > 0.5)
        return (
            seen.depth[0, 0, 0][both].median()
            if seen.depth is not None and bool(both.any())
            else seen.alpha.new_tensor(math.nan)
        )

    depths = torch.stack(in_threads(depth, range(len(meshes))))
    factors = (depths.nanmedian() / depths).nan_to_num(1.0)
    moved = []
    for mesh, factor, eye in zip(meshes, factors, placed.position, strict=True):
        matrix = torch.eye(4)
        matrix[:3, :3] *= factor
        matrix[:3, 3] = (1 - factor) * eye
        moved.append(mesh.transformed(matrix))
    return moved


def _similarity(found: Registration, common: PhotoCamera) -> Float[Tensor, "4 4"]:
    """Motion of the unit mesh into the photo's frame, where ``common`` [1] sees it as its own camera did.

    Exact for the plane across the view through the mesh's center.
    """
    own = found.camera
    scale = float((own.log_scale - common.log_scale).exp())
    per_unit = float(common.log_scale.exp()) / UNIT_RADIUS
    right, down = common.cameras(2).c2w[0, :3, :2].unbind(-1)
    matrix = found.matrix.clone()
    matrix[:3, :3] *= scale
    matrix[:3, 3] = (
        right * float(own.centre_x - common.centre_x) + down * float(own.centre_y - common.centre_y)
    ) / per_unit
    return matrix
