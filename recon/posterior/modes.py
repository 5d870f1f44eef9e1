"""Modes: groups of similar hypotheses, and how sure the grouping is."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Mode:
    """One reading of the photo: a group of similar hypotheses."""

    members: tuple[int, ...]
    """Indices of the hypotheses, ascending."""
    mass: float
    """Share of the posterior's weight."""
    medoid: int
    """The member with the least mean distance to the others."""


@dataclass(frozen=True)
class ModesConfig:
    max_modes: int = 5
    """Largest number of modes."""
    min_silhouette: float = 0.4
    """Mean silhouette width below which the hypotheses count as one cloud. Eight cups, three of them with a handle each
    its own, reach 0.56. Of clouds of eight without groups, spread evenly along five directions, one in twelve exceeds
    0.4; along two directions most do."""
    min_separation: float = 0.01
    """Pairwise distance in world units below which all hypotheses are one mode. A handle makes 0.018, roughness
    0.008."""


@dataclass(frozen=True)
class Grouping:
    """Confidence of a division into modes."""

    silhouette: float | None
    """Mean silhouette width (Rousseeuw 1987) of the best division into at least two groups, whether or not it was good
    enough to be used; None if there are fewer than four hypotheses."""
    stability: float | None
    """Mean adjusted Rand index (Hubert & Arabie 1985) between the modes and those found without one of the hypotheses,
    over all hypotheses: 1 if no single hypothesis decides the grouping, about 0 if it is arbitrary; None if there are
    fewer than five."""

    @property
    def strength(self) -> str:
        """Kaufman & Rousseeuw's (1990) reading of the silhouette: strong, reasonable, weak or none."""
        limits = ((0.7, "strong"), (0.5, "reasonable"), (0.25, "weak"))
        return next((name for least, name in limits if (self.silhouette or 0.0) > least), "none")

    def to_dict(self) -> dict:
        return asdict(self) | {
            "strength": self.strength,
            "meaning": (
                "silhouette: mean silhouette width of the best division into two groups or more (Rousseeuw 1987), with "
                "its usual reading as strength (Kaufman & Rousseeuw 1990); stability: mean adjusted Rand index "
                "(Hubert & Arabie 1985) between these modes and those without one of the hypotheses"
            ),
        }


def find_modes(
    distances: Float[Tensor, "n n"], weights: Float[Tensor, "n"], config: ModesConfig | None = None
) -> tuple[Mode, ...]:
    """Average-linkage clusters, their number chosen by the mean silhouette width; heaviest first."""
    labels = _labels(distances.double().numpy(), config or ModesConfig())
    groups = [tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    modes = [Mode(g, float(weights[list(g)].sum()), medoid(distances, weights, g)) for g in groups]
    return tuple(sorted(modes, key=lambda mode: (-mode.mass, mode.members)))


def judge_modes(
    distances: Float[Tensor, "n n"], modes: tuple[Mode, ...], config: ModesConfig | None = None
) -> Grouping:
    """Silhouette width and leave-one-out stability of ``modes``."""
    config, matrix = config or ModesConfig(), distances.double().numpy()
    if len(matrix) < 4:
        return Grouping(None, None)
    width = _best_division(matrix, config)[0]
    if len(matrix) < 5:
        return Grouping(width, None)
    labels = np.zeros(len(matrix), dtype=np.int64)
    for number, mode in enumerate(modes):
        labels[list(mode.members)] = number
    scores = []
    for left_out in range(len(matrix)):
        kept = np.delete(np.arange(len(matrix)), left_out)
        scores.append(adjusted_rand(labels[kept], _labels(matrix[np.ix_(kept, kept)], config)))
    return Grouping(width, float(np.mean(scores)))


def _labels(matrix: np.ndarray, config: ModesConfig) -> Int[np.ndarray, "n"]:
    if len(matrix) >= 4 and float(matrix.max()) >= config.min_separation:
        width, labels = _best_division(matrix, config)
        if width > config.min_silhouette:
            return labels
    return np.zeros(len(matrix), dtype=np.int64)


def _best_division(matrix: np.ndarray, config: ModesConfig) -> tuple[float, Int[np.ndarray, "n"]]:
    """The division into two groups or more with the largest mean silhouette width, the coarsest of equals."""
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial.distance import squareform

    tree = linkage(squareform(matrix, checks=False), method="average")
    best = -1.0, np.zeros(len(matrix), dtype=np.int64)
    for number in range(2, min(config.max_modes, len(matrix) - 1) + 1):
        candidate = cut_tree(tree, number)[:, 0]  # fcluster makes fewer of them where distances are equal
        width = silhouette(matrix, candidate)
        if width > best[0]:
            best = width, candidate
    return best


def adjusted_rand(first: Int[np.ndarray, "n"], second: Int[np.ndarray, "n"]) -> float:
    """Agreement of two divisions corrected for chance (Hubert & Arabie 1985); 1 if both are the same."""
    table = np.zeros((int(first.max()) + 1, int(second.max()) + 1))
    np.add.at(table, (first, second), 1)

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, one, other = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance, most = one * other / pairs(np.array(float(len(first)))), (one + other) / 2
    return 1.0 if most == chance else (both - chance) / (most - chance)


def medoid(distances: Float[Tensor, "n n"], weights: Float[Tensor, "n"], members: tuple[int, ...] | None = None) -> int:
    """The member with the least weighted mean distance to the others; the first of equals."""
    members = tuple(range(len(weights))) if members is None else members
    index = torch.tensor(members)
    cost = distances[index][:, index] @ weights[index]
    return members[int((cost <= cost.min() + 1e-9).nonzero()[0, 0])]


def silhouette(distances: Float[np.ndarray, "n n"], labels: Int[np.ndarray, "n"]) -> float:
    """Mean silhouette width (Rousseeuw 1987), with clusters of one judged by how tight the others are.

    A member's width compares the mean distance to its own cluster with that to the nearest other cluster. A cluster of
    one has no distance of its own. Rousseeuw counts it as 0, which among few hypotheses would speak against every
    reading that came once; here the mean distance within the other clusters stands in for it.

    Returns:
        The mean over all members, 0 if every cluster has one member.
    """
    member = np.eye(int(labels.max()) + 1)[labels]
    size = member.sum(0)
    kept = size > 0
    member, size = member[:, kept], size[kept]
    own = member.argmax(1)
    total, alone = distances @ member, size[own] == 1
    if alone.all() or len(size) < 2:
        return 0.0
    rows = np.arange(len(own))
    near = total[rows, own] / np.maximum(size[own] - 1, 1)
    near[alone] = near[~alone].mean()
    far = total / size
    far[rows, own] = np.inf
    far = far.min(1)
    return float(((far - near) / np.maximum(np.maximum(far, near), 1e-12)).mean())
