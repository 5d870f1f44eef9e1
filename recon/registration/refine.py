"""Refinement of poses by Levenberg and Marquardt's method on pictures, all poses side by side."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.registration.matching import Matcher
from recon.registration.poses import Poses

#: Differences by which the pictures' derivatives are taken, and the largest step, of each parameter.
_STEPS = (0.025, 0.025, 0.02, 0.02, 0.02, 0.1)
_LIMITS = (0.2, 0.2, 0.15, 0.15, 0.15, 0.2)
_STEEPEST = 1.5  # radians of elevation


@dataclass(frozen=True)
class Stage:
    """One stage of the refinement."""

    size: int
    """Pixels along a side."""
    iterations: int
    kept: int
    """Poses that go on to the next stage."""
    blur: float = 1.0
    """Standard deviation of the Gaussian blur of both pictures, in pixels."""


@dataclass(frozen=True)
class RefineConfig:
    stages: tuple[Stage, ...] = (Stage(32, 3, 5), Stage(48, 4, 3), Stage(64, 6, 3))
    restart: float = 7.0
    """Degrees by which the best pose of the first stage is moved either way for further starts."""
    hopeless: float = 20.0
    """Log of the odds at which a pose is no longer refined, if there is another runner-up."""
    distance_spread: float = 0.4
    """Standard deviation of the log distance, around that of the search."""


def refine(
    matcher: Matcher, poses: Poses, stage: Stage, free: Bool[Tensor, "6"], around: float, config: RefineConfig
) -> tuple[Poses, Float[Tensor, "c"]]:
    """Poses after ``stage.iterations`` steps, and their misfits; parameters that are not ``free`` stay.

    ``around``: log distance that the prior expects.
    """
    best = poses.parameters
    trial, damping = best.clone(), torch.full((len(poses),), 1e-2)
    cost = torch.full((len(poses),), torch.inf)
    jacobian = residual = None
    weight = torch.zeros(6)
    weight[5] = config.distance_spread**-2
    for iteration in range(stage.iterations + 1):
        last = iteration == stage.iterations
        found, slopes = _linearized(matcher, poses.moved(trial), stage, free, derivatives=not last)
        offset = trial - trial.new_tensor([0, 0, 0, 0, 0, around])
        new = 0.5 * found.square().sum(1) + 0.5 * (weight * offset**2).sum(1)
        better = new < cost
        best, cost = torch.where(better[:, None], trial, best), torch.where(better, new, cost)
        damping = torch.where(better, damping / 5, damping * 10)
        if last:
            break
        if jacobian is None or residual is None:
            jacobian, residual = slopes, found
        else:
            jacobian = torch.where(better[:, None, None], slopes, jacobian)
            residual = torch.where(better[:, None], found, residual)
        trial = best + _step(jacobian, residual, best, damping, free, weight, around)
        trial[:, 1].clamp_(-_STEEPEST, _STEEPEST)
    return poses.moved(best), cost


def _linearized(
    matcher: Matcher, poses: Poses, stage: Stage, free: Bool[Tensor, "6"], derivatives: bool
) -> tuple[Float[Tensor, "c d"], Float[Tensor, "c d 6"]]:
    """Residuals and their central differences, by one batch of pictures.

    Directions and distances are rendered; where the object stands in the picture and how large, moves the picture.
    """
    steps = torch.diag(torch.tensor(_STEPS))
    turned = [k for k in (0, 1, 5) if bool(free[k])] if derivatives else []
    offsets = torch.cat([torch.zeros(1, 6), steps[turned], -steps[turned]])
    every = (poses.parameters[:, None] + offsets).flatten(0, 1)
    index = torch.arange(len(poses)).repeat_interleave(len(offsets))
    pictures = matcher.pictures(poses[index].moved(every), stage.size).unflatten(0, (len(poses), len(offsets)))
    if derivatives:
        flat = torch.cat([steps[2:5], -steps[2:5]])
        pictures = torch.cat(
            [pictures, torch.stack([_shifted(pictures[:, 0], poses, flat[k]) for k in range(6)], 1)], 1
        )
    residuals = matcher.residuals(pictures.flatten(0, 1), stage.blur).unflatten(0, pictures.shape[:2])
    slopes = residuals.new_zeros(*residuals[:, 0].shape, 6)
    if derivatives:
        split = [len(turned), len(turned), 3, 3]
        ahead, behind, right, left = residuals[:, 1:].split(split, 1)
        order = [*turned, 2, 3, 4]
        difference = torch.cat([ahead - behind, right - left], 1)
        slopes[..., order] = (difference / (2 * torch.tensor(_STEPS)[order][:, None])).mT
    return residuals[:, 0], slopes


def _shifted(pictures: Float[Tensor, "c 4 s s"], poses: Poses, offset: Float[Tensor, "6"]) -> Float[Tensor, "c 4 s s"]:
    """The pictures as they are with another center and scale."""
    zoom = float((-offset[4]).exp())
    camera = poses.camera
    center = torch.stack([camera.centre_x, camera.centre_y], -1)
    matrix = torch.zeros(len(poses), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = zoom
    matrix[:, :, 2] = center - zoom * (center + offset[2:4])
    grid = torch.nn.functional.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pictures, grid, align_corners=False)


def _step(
    jacobian: Float[Tensor, "c d 6"],
    residual: Float[Tensor, "c d"],
    parameters: Float[Tensor, "c 6"],
    damping: Float[Tensor, "c"],
    free: Bool[Tensor, "6"],
    weight: Float[Tensor, "6"],
    around: float,
) -> Float[Tensor, "c 6"]:
    jacobian, residual = jacobian.double(), residual.double()
    offset = (parameters - parameters.new_tensor([0, 0, 0, 0, 0, around])).double()
    system = jacobian.mT @ jacobian + torch.diag(weight.double())
    gradient = (jacobian.mT @ residual[..., None])[..., 0] + weight * offset
    diagonal = torch.diagonal(system, dim1=1, dim2=2)
    system = system + torch.diag_embed(damping[:, None] * diagonal + 1e-6 + torch.where(free, 0.0, 1.0))
    step = -torch.linalg.solve(system, gradient).float() * free
    # Shortened as a whole, so that its direction stays.
    excess = (step.abs() / step.new_tensor(_LIMITS)).amax(1, keepdim=True).clamp_min(1.0)
    return step / excess


def nearby(pose: Poses, angle: float, free: Bool[Tensor, "6"]) -> Poses:
    """The pose [1] moved by ``angle`` radians either way in azimuth and in elevation, as far as they are free."""
    offsets = torch.cat([torch.eye(6)[:2][free[:2]], -torch.eye(6)[:2][free[:2]]]) * angle
    moved = pose.parameters + offsets
    moved[:, 1].clamp_(-_STEEPEST, _STEEPEST)
    return pose[torch.zeros(len(moved), dtype=torch.long)].moved(moved)
