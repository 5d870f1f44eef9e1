"""Procedural colored objects: unlimited training data, and ambiguity whose true posterior is known."""

from mvdiff.data.procedural.hidden import Distribution, HiddenAttribute, HiddenHandle
from mvdiff.data.procedural.objects import AMBIGUOUS, FAMILIES, ProceduralObject, make, make_ambiguous, remake

__all__ = [
    "AMBIGUOUS",
    "FAMILIES",
    "Distribution",
    "HiddenAttribute",
    "HiddenHandle",
    "ProceduralObject",
    "make",
    "make_ambiguous",
    "remake",
]
