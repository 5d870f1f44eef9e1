"""Reweighting of hypotheses by a further picture of the object (importance weights)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.ops.parallel import in_threads
from recon.rendering import Surface, render_mesh
from recon.rendering.framing import framed_as

if TYPE_CHECKING:
    from recon.posterior.posterior import Posterior


@dataclass(frozen=True)
class NoiseModel:
    """Noise model of a picture given the right hypothesis: Gaussian in silhouette, color and depth.

    Errors of neighboring pixels are not independent, so a picture counts for (size / correlation)^2 measurements.
    """

    silhouette: float = 0.3
    """Standard deviation of a pixel's coverage."""
    color: float = 0.3
    """Standard deviation of sRGB values; wide, as a photo carries light and hypotheses do not."""
    depth: float | None = None
    """Standard deviation of depths in world units; None for photos, which measure none."""
    size: int = 32
    """Pixels along a side at which pictures are compared."""
    correlation: float = 4.0
    """Pixels along a side whose errors are one and the same."""

    def features(self, views: ViewSet) -> Float[Tensor, "n v d"]:
        """Pictures as vectors whose squared distance is -2 log of the likelihood ratio."""
        parts = [views.alpha / self.silhouette, (views.rgb - 0.5) * views.alpha / (math.sqrt(3) * self.color)]
        if self.depth is not None:
            if views.depth is None:
                raise InputError("A noise model with depth needs pictures with depth: leave its depth at None.")
            distance = views.cameras.position.norm(dim=-1)[..., None, None, None]
            parts.append((views.depth - distance) * (views.alpha > 0.5) / self.depth)
        return torch.cat([part.flatten(2) for part in parts], -1) / self.correlation

    def measurements(self, alpha: Float[Tensor, "h w"]) -> float:
        """Independent measurements that a picture of this silhouette makes of the object."""
        channels = 2 + (self.depth is not None)
        return max(float(alpha.mean()) * (self.size / self.correlation) ** 2 * channels, 1.0)


@dataclass(frozen=True)
class Evidence:
    """One more picture of the object."""

    rgba: Float[Tensor, "4 h w"]
    """sRGB with straight alpha."""
    cameras: Cameras
    """Candidates [c] for where it was taken from, equally likely; the likelihood is their mean."""
    framed: bool = False
    """Whether the cameras' lenses are known. Otherwise only their directions are, and each hypothesis is framed as the
    picture is: its silhouette's box gets the place and the larger side of the picture's."""


@dataclass(frozen=True)
class Conditioned:
    """Weights of the same hypotheses after more evidence."""

    weights: Float[Tensor, "n"]
    """Sum to one."""
    log_likelihood: Float[Tensor, "n"]
    """Before tempering, up to a constant."""
    temperature: float
    """Divisor of the log-likelihood, 1 or more: the factor by which the noise model underestimates the misfit of the
    best hypothesis. None of a few samples is the truth, so the plain likelihood would be too sure."""
    entropy_before: float
    """Bits, of the hypothesis' index."""
    entropy_after: float

    @property
    def effective_size(self) -> float:
        """Kish's effective number of hypotheses."""
        return float(1 / (self.weights**2).sum())

    @property
    def information(self) -> float:
        """Bits that the evidence took away."""
        return self.entropy_before - self.entropy_after

    def to_dict(self) -> dict:
        return {
            "weights": self.weights.tolist(),
            "effective_size": self.effective_size,
            "temperature": self.temperature,
            "entropy_before_bits": self.entropy_before,
            "entropy_after_bits": self.entropy_after,
        }


def condition(
    meshes: Sequence[TexturedMesh],
    weights: Float[Tensor, "n"],
    evidence: Evidence,
    noise: NoiseModel | None = None,
) -> Conditioned:
    """Importance weights of the hypotheses given one more picture, by Bayes' rule with a tempered likelihood."""
    noise = replace(noise or NoiseModel(), depth=None)  # a photo measures none
    misfit = misfits(meshes, evidence, noise)
    temperature = max(1.0, float(misfit.min()) / noise.measurements(evidence.rgba[3]))
    log_likelihood = torch.logsumexp(-0.5 * misfit / temperature, 1) - math.log(misfit.shape[1])
    return Conditioned(
        weights=bayes_update(weights, log_likelihood),
        log_likelihood=log_likelihood * temperature,
        temperature=temperature,
        entropy_before=entropy_bits(weights),
        entropy_after=entropy_bits(bayes_update(weights, log_likelihood)),
    )


def misfits(meshes: Sequence[TexturedMesh], evidence: Evidence, noise: NoiseModel) -> Float[Tensor, "n c"]:
    """Squared distance of a picture from each mesh's own picture by each candidate camera, in units of the noise.

    Half of it, negated, is the log-likelihood up to a constant. Raises :class:`InputError` for a picture that shows no
    object.
    """
    if not bool((evidence.rgba[3] > 0.5).any()):
        raise InputError("The further picture shows no object: give one with the object cut out.")
    noise = replace(noise, depth=None)
    return torch.stack([_misfit(mesh, evidence, noise) for mesh in meshes])


def information_after(
    meshes: Sequence[TexturedMesh],
    weights: Float[Tensor, "n"],
    truth: TexturedMesh,
    cameras: Cameras,
    noise: NoiseModel | None = None,
) -> Float[Tensor, "v"]:
    """Bits left about the hypothesis' index after a photo of ``truth`` (same frame) by each of ``cameras`` [v].

    What a chosen next view is judged by: compare the chosen camera's entry with the mean over random ones.
    """
    noise = noise or NoiseModel()
    known, found = predictions(meshes, cameras, noise), predictions([truth], cameras, noise)
    misfit = ((noise.features(known) - noise.features(found)) ** 2).sum(-1)  # [n v]
    left = []
    for view in range(len(cameras)):
        temperature = max(1.0, float(misfit[:, view].min()) / noise.measurements(found.alpha[0, view, 0]))
        left.append(entropy_bits(bayes_update(weights, -0.5 * misfit[:, view] / temperature)))
    return torch.tensor(left)


def predictions(meshes: Sequence[TexturedMesh | Surface], cameras: Cameras, noise: NoiseModel) -> ViewSet:
    """Each hypothesis as each camera of [v] would see it, [n v], at the size at which pictures are compared."""
    cameras = cameras.resized(noise.size, noise.size)
    return ViewSet.cat(in_threads(lambda mesh: render_mesh(mesh, cameras).to("cpu"), meshes))


def bayes_update(weights: Float[Tensor, "n"], log_likelihood: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Bayes' rule; no weight falls to zero, so that a posterior can still hold every hypothesis."""
    log = weights.double().log() + log_likelihood.double()
    return (log - log.max()).clamp_min(-25.0).softmax(0).float()


def entropy_bits(weights: Float[Tensor, "*batch n"]) -> float:
    """Statistics of one distribution over hypotheses."""
    w = weights.double()
    return float(-torch.special.xlogy(w, w).sum(-1) / math.log(2)) + 0.0


def uncertainty_record(posterior: "Posterior") -> dict[str, float]:
    """The few numbers by which two posteriors of one object are compared, as the hypotheses' own votes."""
    posterior = replace(posterior, calibration=None)
    return {
        "num_hypotheses": len(posterior),
        "effective_size": posterior.effective_size,
        "index_entropy_bits": entropy_bits(posterior.weights),
        "occupancy_entropy": float(posterior.entropy.sum()) * posterior.grid.cell_volume,
        "ambiguity": posterior.ambiguity,
    }


def _misfit(mesh: TexturedMesh, evidence: Evidence, noise: NoiseModel) -> Float[Tensor, "c"]:
    """Squared distance of the picture from the mesh's own picture by each candidate camera."""
    cameras = (
        evidence.cameras
        if evidence.framed or len(mesh) == 0
        else framed_as(mesh.vertices, evidence.cameras, evidence.rgba[3])
    )
    cameras = cameras.resized(noise.size, noise.size)
    own = noise.features(render_mesh(mesh, cameras).to("cpu"))[0]
    small = _shrunk(evidence.rgba, noise.size)
    picture = ViewSet(small[None, None, :3], small[None, None, 3:], cameras[:1].reshape(1, 1))
    return ((own - noise.features(picture)[0]) ** 2).sum(-1)


def _shrunk(rgba: Float[Tensor, "4 h w"], size: int) -> Float[Tensor, "4 {size} {size}"]:
    """Averaged premultiplied, so that the background's color does not leak in."""
    rgb, alpha = rgba[:3], rgba[3:]
    small = torch.nn.functional.interpolate(
        torch.cat([rgb * alpha, alpha])[None], size=(size, size), mode="area" if rgba.shape[-1] >= size else "bilinear"
    )[0]
    return torch.cat([small[:3] / small[3:].clamp_min(1e-6), small[3:]])
