"""Best-of-k candidates: each hypothesis draws k objects and keeps the one with the most consistent views.

Selection stays within a hypothesis, so that each remains a function of the photo, the settings and its own seed.
"""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from recon.core.views import ViewSet
from recon.fusion.consistency import contradictions


def hypothesis_seed(seed: int, index: int) -> int:
    """Seed of hypothesis ``index`` of a run: a hash of both (48 bits fit any JSON)."""
    return _hashed(f"{seed}:{index}")


def candidate_seeds(seed: int, indices: Sequence[int], candidates: int) -> list[int]:
    """Seeds of each candidate of each hypothesis, hypothesis by hypothesis; the first is the hypothesis' own."""
    return [_candidate_seed(seed, k, c) for k in indices for c in range(candidates)]


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One random generator on the CPU for each seed, so that a seed means the same on every device."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def most_consistent(views: ViewSet, candidates: int) -> Int[Tensor, "m"]:
    """Places in ``views`` [n v] of the candidates to keep, one of each ``candidates`` that follow each other."""
    if candidates == 1:
        return torch.arange(len(views))
    own = contradictions(views).reshape(-1, candidates)
    return torch.arange(0, len(views), candidates) + own.argmin(1)


def _candidate_seed(seed: int, index: int, candidate: int) -> int:
    return hypothesis_seed(seed, index) if candidate == 0 else _hashed(f"{seed}:{index}:{candidate}")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
