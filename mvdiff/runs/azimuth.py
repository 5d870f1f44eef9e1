"""Estimate of the azimuth of a second photo, from the looks of a finished run's hypotheses."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.runs.evidence import SecondPhoto
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.runs.refine import FinishedRun
from mvdiff.sampling.reference import ReferenceImage
from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.posterior.conditioning import Evidence, NoiseModel, misfits

#: Degrees between candidates: around the whole object, then near the best ones.
_COARSE, _FINE = 15, 5
#: Probability that the stated tolerance is to hold.
_HELD = 0.68
_LEAST, _MOST = 5.0, 90.0
#: Degrees beyond which a direction is another answer, and its share of the best one's probability that is told.
_OTHER, _RIVAL = 60.0, 0.5


@dataclass(frozen=True)
class EstimatedAzimuth:
    """The most probable azimuth of a photo, and how far it may be off."""

    azimuth: float
    """Degrees from the first photo in (-180, 180], positive to the right."""
    tolerance: float
    """Degrees on either side that hold 68 % of the probability."""
    rival: float | None = None
    """Another direction that is at least half as probable, where there is one."""

    def sentence(self) -> str:
        side = "right" if self.azimuth >= 0 else "left"
        text = f"The azimuth was estimated: {abs(self.azimuth):.0f}° to the {side}, within {self.tolerance:.0f}°."
        if self.rival is None:
            return text
        return f"{text} {self.rival:.0f}° fits nearly as well: give the azimuth if you know it."


def locate(
    model: ImageTo3D, run_dir: str | os.PathLike, reference: ReferenceImage, elevation: float | None = None
) -> tuple[SecondPhoto, EstimatedAzimuth]:
    """The second photo of a finished run with an estimated azimuth.

    Raises :class:`InputError` where there is no complete run, or the elevation is none.
    """
    run = FinishedRun.open(run_dir)
    unplaced = SecondPhoto(reference, 0.0, elevation, tolerance=0.0)
    unplaced.check()
    shown = unplaced.evidence(model, run.config.seed)
    meshes, weights = [h.mesh for h in run.result.hypotheses], run.result.posterior.weights
    found = estimate_azimuth(meshes, weights, shown)
    return SecondPhoto(reference, found.azimuth, elevation, found.tolerance), found


def estimate_azimuth(
    meshes: Sequence[TexturedMesh], weights: Float[Tensor, "n"], evidence: Evidence, noise: NoiseModel | None = None
) -> EstimatedAzimuth:
    """Maximum of the posterior over azimuths, with every hypothesis and elevation as a nuisance.

    Each candidate is scored by the tempered likelihood of :func:`recon.posterior.conditioning.condition`, first every
    15 degrees around the object, then every 5 degrees near the best one and near the best of those far from it.

    Args:
        meshes: Hypotheses in one frame, the first photo at azimuth 0.
        weights: Their probabilities.
        evidence: The photo, with cameras [c] at azimuth 0 that differ in what else is unknown, such as the elevation.
        noise: Model of its differences from a rendering.
    """
    noise = replace(noise or NoiseModel(), depth=None)  # a photo measures none
    around = torch.arange(-180.0 + _COARSE, 181.0, _COARSE)
    coarse = _scores(meshes, evidence, noise, around)  # [n a c]
    fits = coarse.amin((0, 2))
    best = around[fits.argmin()]
    other = around[torch.where(_away(around, best) < _OTHER, torch.inf, fits).argmin()]
    steps = torch.tensor([float(step) for step in range(-_COARSE + _FINE, _COARSE, _FINE) if step])
    fine = torch.cat([best + steps, other + steps])
    azimuths = torch.cat([around, fine])
    misfit = torch.cat([coarse, _scores(meshes, evidence, noise, fine)], 1)
    temperature = max(1.0, float(misfit.min()) / noise.measurements(evidence.rgba[3]))
    joint = weights.log()[:, None, None] - 0.5 * misfit / temperature
    probability = torch.logsumexp(joint, (0, 2)).softmax(0)
    return _summary(azimuths, probability)


def _scores(
    meshes: Sequence[TexturedMesh], evidence: Evidence, noise: NoiseModel, azimuths: Float[Tensor, "a"]
) -> Float[Tensor, "n a c"]:
    """Misfit of every hypothesis from every azimuth by each of the c cameras."""
    cameras = Cameras.cat([evidence.cameras.transformed(_turn(float(azimuth))) for azimuth in azimuths])
    shown = Evidence(evidence.rgba, cameras, evidence.framed)
    return misfits(meshes, shown, noise).unflatten(1, (len(azimuths), -1))


def _turn(degrees: float) -> Float[Tensor, "4 4"]:
    """Rotation of the world around +Y that takes azimuth 0 to ``degrees``."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.eye(4)
    turn[0, 0], turn[0, 2], turn[2, 0], turn[2, 2] = cosine, sine, -sine, cosine
    return turn


def _summary(azimuths: Float[Tensor, "a"], probability: Float[Tensor, "a"]) -> EstimatedAzimuth:
    # Candidates are denser near the best ones: each stands for the degrees up to its neighbors.
    order = azimuths.argsort()
    azimuths, probability = azimuths[order], probability[order]
    gaps = (torch.roll(azimuths, -1) - azimuths).remainder(360.0)
    mass = probability * (gaps + torch.roll(gaps, 1)) / 2
    mass = mass / mass.sum()
    best = int(probability.argmax())
    away = _away(azimuths, azimuths[best])
    near = away.argsort()
    held = int((mass[near].cumsum(0) < _HELD).sum())
    tolerance = min(max(float(away[near[min(held, len(near) - 1)]]), _LEAST), _MOST)
    others = torch.where(away >= _OTHER, probability, 0.0)
    rival = float(azimuths[others.argmax()]) if float(others.max()) > _RIVAL * float(probability[best]) else None
    return EstimatedAzimuth(_wrapped(float(azimuths[best])), tolerance, None if rival is None else _wrapped(rival))


def _away(azimuths: Float[Tensor, "a"], azimuth: Float[Tensor, ""]) -> Float[Tensor, "a"]:
    """Degrees between each of the directions and one."""
    return ((azimuths - azimuth + 180) % 360 - 180).abs()


def _wrapped(degrees: float) -> float:
    return degrees - 360.0 * math.ceil((degrees - 180.0) / 360.0)
