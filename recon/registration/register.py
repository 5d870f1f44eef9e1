"""Registration of a mesh to a photo of the same object."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.photo_camera import PhotoCamera
from recon.registration.matching import Encoder, MatchConfig, Matcher
from recon.registration.poses import WORLDS, FrameChoice, Poses
from recon.registration.refine import RefineConfig, nearby, refine
from recon.registration.search import SearchConfig, hull_points, search, separated


@dataclass(frozen=True)
class RegistrationConfig:
    search: SearchConfig = field(default_factory=SearchConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    match: MatchConfig = field(default_factory=MatchConfig)


@dataclass(frozen=True)
class Registration:
    """Pose of a mesh at which it looks most like the photo, and how sure that is."""

    poses: Poses
    """Different readings, likeliest first."""
    shares: Float[Tensor, "c"]
    """Probability of each among them; they sum to one."""
    misfits: Float[Tensor, "c"]
    """-log of the likelihood and the prior, up to a constant."""
    overlap: float
    """Soft intersection over union of the silhouettes at the first."""

    @property
    def world(self) -> str:
        """Axis of the file that points up: one of :data:`WORLDS`."""
        return WORLDS[int(self.poses.world[0])]

    @property
    def camera(self) -> PhotoCamera:
        """The photo's camera [1] around the upright mesh."""
        return self.poses.camera[:1]

    @property
    def confidence(self) -> float:
        """Probability of the pose among the separated candidates."""
        return float(self.shares[0])

    @property
    def margin(self) -> float:
        """Log of the odds against the runner-up; infinite if there is none."""
        return float(self.misfits[1] - self.misfits[0]) if len(self.misfits) > 1 else math.inf

    @property
    def matrix(self) -> Float[Tensor, "4 4"]:
        """Rotation of the mesh, as its file has it, into the photo's frame: +Y up, photographed from +Z."""
        turn = torch.eye(4)
        azimuth = torch.deg2rad(self.camera.azimuth[0])
        turn[0, 0], turn[0, 2], turn[2, 0], turn[2, 2] = azimuth.cos(), -azimuth.sin(), azimuth.sin(), azimuth.cos()
        upright = torch.eye(4)
        upright[:3, :3] = self.poses.upright[0]
        return turn @ upright

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready record."""
        return {
            **_record(self.poses, 0),
            "silhouette_iou": self.overlap,
            "confidence": self.confidence,
            "margin_nats": self.margin if math.isfinite(self.margin) else None,
            "runner_up": _record(self.poses, 1) if len(self.poses) > 1 else None,
        }


def register_to_photo(
    mesh: TexturedMesh,
    rgba: Float[Tensor, "4 s s"],
    frame: FrameChoice = "auto",
    config: RegistrationConfig | None = None,
    encoder: Encoder | None = None,
) -> Registration:
    """Find the pose in which ``mesh`` (centered, radius 0.5) looks like the cut-out square photo.

    Search over azimuth, elevation and the candidates of the up axis, then refinement of azimuth, elevation, scale,
    center and distance by Levenberg and Marquardt's method on silhouettes and colors.

    Args:
        mesh: Mesh in the axes of its file.
        rgba: sRGB with straight alpha.
        frame: Axes of the mesh; "auto" tries every up axis, "photo" means +Y up and photographed from +Z.
        config: Settings.
        encoder: Features of pictures, compared beside silhouettes and colors.

    Raises:
        InputError: The mesh has no faces, or the photo shows no object.
    """
    config = config or RegistrationConfig()
    if len(mesh) == 0:
        raise InputError("A mesh without faces cannot be registered: leave it out.")
    if not bool((rgba[3] > 0.5).any()):
        raise InputError("The photo shows no object: give one with the object cut out.")
    matcher, hull = Matcher(mesh, rgba, config.match, encoder), hull_points(mesh)
    poses = search(matcher, hull, rgba[3], frame, config.search)
    free = torch.tensor([frame != "photo", True, True, True, True, True])
    around = math.log(config.search.distance)
    for number, stage in enumerate(config.refine.stages):
        if number == 1:  # thin parts trap the search a few degrees from the best pose
            poses = Poses.cat([poses, nearby(poses[:1], math.radians(config.refine.restart), free)])
        poses, cost = refine(matcher, poses, stage, free, around, config.refine)
        cost = cost - poses.log_prior
        kept = separated(poses, cost, config.search.separation, stage.kept)
        kept = kept[:2] + [k for k in kept[2:] if cost[k] < cost[kept[0]] + config.refine.hopeless]
        poses, cost = poses[kept], cost[kept]
    return _judged(matcher, poses, cost, config)


def _judged(matcher: Matcher, poses: Poses, cost: Float[Tensor, "c"], config: RegistrationConfig) -> Registration:
    """Registration from refined poses; those close to a better one are no readings of their own."""
    size = config.refine.stages[-1].size
    kept = separated(poses, cost, config.search.separation, len(poses))
    overlap = float(matcher.overlap(matcher.pictures(poses[kept[:1]], size))[0])
    return Registration(poses[kept], (-cost[kept].double()).softmax(0).float(), cost[kept], overlap)


def _record(poses: Poses, index: int) -> dict[str, Any]:
    camera = poses.camera[index : index + 1]
    return {
        "up": WORLDS[int(poses.world[index])],
        "azimuth": float(camera.azimuth),
        "elevation": float(camera.elevation),
        "distance": float(camera.distance),
    }
