"""The candidates of a hypothesis: it draws several objects and keeps the one whose views contradict each other least.

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
    """The seed of hypothesis ``index`` of a run: a hash, so that it depends on nothing else (48 bits fit any JSON)."""
    return _hashed(f"{seed}:{index}")


def generators(seed: int, indices: Sequence[int], candidates: int) -> list[torch.Generator]:
    """One for each candidate of each hypothesis, hypothesis by hypothesis; the first is the hypothesis' own."""
    return [torch.Generator().manual_seed(_candidate_seed(seed, k, c)) for k in indices for c in range(candidates)]


def least_contradicted(views: ViewSet, candidates: int) -> Int[Tensor, "m"]:
    """Places in ``views`` [n v] of the candidates to keep, one for each ``candidates`` that follow each other."""
    if candidates == 1:
        return torch.arange(len(views))
    own = contradictions(views).reshape(-1, candidates)
    return torch.arange(0, len(views), candidates) + own.argmin(1)


def _candidate_seed(seed: int, index: int, candidate: int) -> int:
    return hypothesis_seed(seed, index) if candidate == 0 else _hashed(f"{seed}:{index}:{candidate}")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
