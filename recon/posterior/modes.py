"""Groups of hypotheses that tell the same story."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Mode:
    """One reading of the photo."""

    members: tuple[int, ...]
    mass: float
    """Share of the posterior's weight."""
    medoid: int
    """The member nearest to all others."""


@dataclass(frozen=True)
class ModesConfig:
    max_modes: int = 5
    min_silhouette: float = 0.4
    """Mean silhouette below which the hypotheses count as one cloud. Eight cups, three of them with a handle each its
    own, reach 0.48; of clouds of eight without groups, spread evenly along five directions, one in six does."""
    min_separation: float = 0.01
    """World units of :func:`local_difference_matrix`: hypotheses all nearer than this are one mode. A handle is 0.018,
    roughness 0.008."""


def find_modes(
    distances: Float[Tensor, "n n"], weights: Float[Tensor, "n"], config: ModesConfig | None = None
) -> tuple[Mode, ...]:
    """Average-linkage clusters, their number chosen by the mean silhouette; heaviest first."""
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial.distance import squareform

    config = config or ModesConfig()
    count = len(distances)
    labels = np.zeros(count, dtype=np.int64)
    if count >= 4 and float(distances.max()) >= config.min_separation:
        matrix = distances.double().numpy()
        tree = linkage(squareform(matrix, checks=False), method="average")
        best = config.min_silhouette
        for number in range(2, min(config.max_modes, count - 1) + 1):
            candidate = cut_tree(tree, number)[:, 0]  # fcluster makes fewer of them where distances are equal
            score = silhouette(matrix, candidate)
            if score > best:
                best, labels = score, candidate
    groups = [tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    modes = [Mode(g, float(weights[list(g)].sum()), medoid(distances, weights, g)) for g in groups]
    return tuple(sorted(modes, key=lambda mode: (-mode.mass, mode.members)))


def medoid(distances: Float[Tensor, "n n"], weights: Float[Tensor, "n"], members: tuple[int, ...] | None = None) -> int:
    """The member with the least weighted mean distance to the others; the first of equals."""
    members = tuple(range(len(weights))) if members is None else members
    index = torch.tensor(members)
    cost = distances[index][:, index] @ weights[index]
    return members[int((cost <= cost.min() + 1e-9).nonzero()[0, 0])]


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette of those that are not alone in their cluster.

    One alone says nothing about how tight its cluster is (Rousseeuw 1987 counts it as 0, by convention): among few
    hypotheses, a reading that came once would speak against being one.
    """
    scores = []
    for index, label in enumerate(labels):
        own = labels == label
        if own.sum() == 1:
            continue
        near = distances[index, own].sum() / (own.sum() - 1)
        far = min(distances[index, labels == other].mean() for other in np.unique(labels) if other != label)
        scores.append((far - near) / max(far, near, 1e-12))
    return float(np.mean(scores)) if scores else 0.0
