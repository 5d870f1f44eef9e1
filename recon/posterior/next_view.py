"""Next best view: the direction with the largest expected information about the true hypothesis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.posterior.conditioning import NoiseModel, entropy_bits, predictions
from recon.posterior.posterior import Posterior
from recon.rendering import Surface


@dataclass(frozen=True)
class NextViewConfig:
    azimuths: int = 16
    """Candidates around the object."""
    elevations: tuple[float, ...] = (0.0, 20.0, 40.0, 60.0)
    """Degrees."""
    draws: int = 64
    """Simulated pictures for each hypothesis and candidate."""
    noise: NoiseModel = field(default_factory=NoiseModel)

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if self.azimuths < 2 or self.draws < 1:
            raise InputError("A next view needs at least 2 azimuths and 1 draw.")
        if not self.elevations or any(not -90 < e < 90 for e in self.elevations):
            raise InputError("The candidates' elevations lie between -90 and 90 degrees.")


@dataclass(frozen=True)
class NextView:
    """Candidates on a grid of directions, and the best few, each chosen given those before it."""

    azimuths: Float[Tensor, "a"]
    """Degrees; 0 is the photo's own direction, positive counter-clockwise seen from above."""
    elevations: Float[Tensor, "e"]
    information: Float[Tensor, "e a"]
    """Expected information of one photo from there about the hypothesis' index, in bits."""
    entropy: float
    """Bits before it."""
    chosen: tuple[tuple[int, int], ...]
    """(elevation index, azimuth index) of the plan, best first."""
    cumulative: tuple[float, ...]
    """Expected bits of the first, of the first two together, ..."""
    temperature: float
    """Factor of the noise model's variance, see :func:`discrepancy`."""

    @property
    def best(self) -> tuple[float, float]:
        """Azimuth and elevation of the best next photo, degrees."""
        return self.direction(0)

    def direction(self, rank: int) -> tuple[float, float]:
        row, column = self.chosen[rank]
        return float(self.azimuths[column]), float(self.elevations[row])

    def camera(self, rank: int = 0, size: int = 128) -> Cameras:
        """The default lens there, [1]."""
        azimuth, elevation = self.direction(rank)
        return Cameras.orbit([azimuth], elevation, size=size)

    @property
    def left_after_best(self) -> float:
        """Expected bits left after the best photo."""
        return max(self.entropy - self.cumulative[0], 0.0)

    @property
    def left_after_random(self) -> float:
        """Expected bits left after a photo from a random candidate."""
        return max(self.entropy - float(self.information.mean()), 0.0)

    def to_dict(self) -> dict[str, Any]:
        views = []
        for rank in range(len(self.chosen)):
            azimuth, elevation = self.direction(rank)
            views.append(
                {
                    "azimuth": azimuth,
                    "elevation": elevation,
                    "expected_bits_alone": float(self.information[self.chosen[rank]]),
                    "expected_bits_with_those_before": self.cumulative[rank],
                    "expected_entropy_left_bits": max(self.entropy - self.cumulative[rank], 0.0),
                }
            )
        return {
            "entropy_bits": self.entropy,
            "temperature": self.temperature,
            "views": views,
            "expected_entropy_left_bits_random": self.left_after_random,
            "azimuths": self.azimuths.tolist(),
            "elevations": self.elevations.tolist(),
            "information_bits": self.information.tolist(),
        }


def next_view(
    meshes: Sequence[TexturedMesh | Surface] | Posterior,
    weights: Float[Tensor, "n"] | None = None,
    num_views: int = 3,
    config: NextViewConfig | None = None,
) -> NextView:
    """Rank candidate cameras by the mutual information between the hypothesis' index and the picture that they take.

    ``meshes`` in one frame with their ``weights``, or a posterior, whose fields' surfaces are then used (no colors).
    Pictures are the hypotheses' renderings plus the noise of ``config.noise`` (its variance times
    :func:`discrepancy`), so all that matters are the distances between the renderings; the mixture's entropy has no
    closed form and is simulated with fixed draws.
    """
    config = config or NextViewConfig()
    config.check()
    if num_views < 1:
        raise InputError(f"The number of views is at least 1, not {num_views}.")
    if isinstance(meshes, Posterior):
        weights = meshes.weights
        meshes = [meshes.grid.surface(each) for each in meshes.fields]
    weights = torch.full((len(meshes),), 1 / len(meshes)) if weights is None else weights
    azimuths = torch.arange(config.azimuths) * (360 / config.azimuths)
    elevations = torch.tensor(config.elevations)
    shape = (len(elevations), len(azimuths))
    cameras = Cameras.orbit(azimuths.repeat(shape[0]), elevations.repeat_interleave(shape[1]), size=config.noise.size)
    seen = predictions(meshes, cameras, config.noise)
    gram = gram_of(config.noise.features(seen))
    temperature = discrepancy(gram, config.noise.measurements(seen.alpha.mean((0, 1, 2))))
    gram = gram / temperature

    chosen: list[int] = []
    cumulative: list[float] = []
    alone = gained = mutual_information(gram, weights, config.draws)
    for _ in range(min(num_views, len(gram))):
        chosen.append(int(gained.argmax()))
        cumulative.append(float(gained.max()))
        # Pictures with independent noise: their squared distances add.
        gained = mutual_information(gram + gram[chosen].sum(0), weights, config.draws)
        gained[chosen] = -math.inf
    return NextView(
        azimuths=azimuths,
        elevations=elevations,
        information=alone.reshape(shape),
        entropy=entropy_bits(weights),
        chosen=tuple(divmod(index, shape[1]) for index in chosen),
        cumulative=tuple(cumulative),
        temperature=temperature,
    )


def gram_of(features: Float[Tensor, "n v d"]) -> Float[Tensor, "v n n"]:
    """Inner products of the centered predictions: all that the information depends on."""
    by_view = (features - features.mean(0)).transpose(0, 1).double()
    return by_view @ by_view.transpose(1, 2)


def discrepancy(gram: Float[Tensor, "v n n"], measurements: float) -> float:
    """Ratio of the actual to the modeled distance between pictures of an object and of its nearest hypothesis.

    The object is none of the hypotheses, but one more draw like them: it is as far from the nearest as each of them is
    from its own nearest (leave one out). 1 or more.
    """
    if gram.shape[-1] < 2:
        return 1.0
    norms = gram.diagonal(dim1=1, dim2=2)
    squared = norms[:, :, None] + norms[:, None] - 2 * gram
    squared.diagonal(dim1=1, dim2=2).fill_(math.inf)
    return max(1.0, float(squared.amin(-1).mean()) / measurements)


def mutual_information(
    gram: Float[Tensor, "v n n"], weights: Float[Tensor, "n"], draws: int, seed: int = 0
) -> Float[Tensor, "v"]:
    """Bits between the index and a vector that is the index' own plus unit Gaussian noise.

    ``gram`` holds the vectors' inner products. The same noise serves every view, so that views compare well.
    """
    noise = torch.randn(draws, len(weights), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise = torch.cat([noise, -noise])  # in pairs, which halves the variance
    prior = weights.double()
    values, vectors = torch.linalg.eigh(gram.double())
    places = vectors * values.clamp_min(0).sqrt()[:, None]  # each hypothesis in at most n dimensions
    along = noise @ places.mT  # [v s n]
    # log p(o | j) for o = place_k + e, but for what is the same for all j
    exponent = -0.5 * torch.cdist(places, places).square()[:, :, None] - along.mT[..., None] + along[:, None]
    log_posterior = (exponent + prior.log()).log_softmax(-1)  # [v k s j]
    left = -(log_posterior.exp() * log_posterior).sum(-1).mean(-1) @ prior / math.log(2)
    return (entropy_bits(weights) - left).clamp(0).float()
