"""Objects from a seed."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mvdiff.data.procedural import ambiguous, animals, artifacts, furniture, outdoors, plants, vessels
from mvdiff.data.procedural.hidden import Distribution, HiddenAttribute
from mvdiff.data.procedural.materials import Palette
from recon.core.mesh import TexturedMesh

AMBIGUOUS = ambiguous.FAMILIES
FAMILIES = {
    **furniture.FAMILIES,
    **vessels.FAMILIES,
    **outdoors.FAMILIES,
    **animals.FAMILIES,
    **plants.FAMILIES,
    **artifacts.FAMILIES,
    **AMBIGUOUS,
}
"""Name to function of (rng, palette), and of a draw from the hidden prior where the object is ambiguous."""

_DRAWN = object()


@dataclass(frozen=True)
class ProceduralObject:
    """A colored mesh of radius 0.5, front +Z, up +Y, with what its photo cannot show."""

    mesh: TexturedMesh
    family: str
    seed: int
    hidden: HiddenAttribute | None = None


def make(seed: int, family: str | None = None, families: Iterable[str] = FAMILIES) -> ProceduralObject:
    """The object of ``seed`` (>= 0), of a family that the seed picks among ``families`` unless it is given."""
    if family is None:
        names = sorted(families)
        family = names[np.random.default_rng([seed, 1]).integers(len(names))]
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}; choose one of {', '.join(sorted(FAMILIES))}.")
    return _build(seed, family, _DRAWN)


def make_ambiguous(seed: int, unseen: bool = False) -> ProceduralObject:
    """An object with a hidden attribute, every second one a mug: only of these some photos show it.

    ``unseen``: one whose photo from azimuth 0 does not show it, drawn from what such a photo leaves open.
    """
    made = make(seed, families=[*AMBIGUOUS, *["hidden_handle_mug"] * (len(AMBIGUOUS) - 2)])
    if unseen and made.hidden.seen():
        left_open = remake(made, None).hidden.condition()
        made = remake(made, left_open.sample(np.random.default_rng([seed, 4])))
    return made


def remake(thing: ProceduralObject, value: Any) -> ProceduralObject:
    """The same object with another value of its hidden attribute: the same photo from azimuth 0."""
    if thing.hidden is None:
        raise ValueError(f"Objects of the family {thing.family} have no hidden attribute.")
    if thing.hidden.prior.log_prob(value) == -np.inf:
        raise ValueError(f"{thing.hidden.name} cannot be {value!r}.")
    return _build(thing.seed, thing.family, value)


def _build(seed: int, family: str, value: Any) -> ProceduralObject:
    code = zlib.crc32(family.encode())
    rng, hidden_rng = np.random.default_rng([seed, code, 2]), np.random.default_rng([seed, code, 3])
    palette = Palette(rng)
    if family not in AMBIGUOUS:
        return ProceduralObject(FAMILIES[family](rng, palette).mesh(), family, seed)

    def draw(prior: Distribution) -> Any:
        return prior.sample(hidden_rng) if value is _DRAWN else value

    builder, hidden = AMBIGUOUS[family](rng, palette, draw)
    return ProceduralObject(builder.mesh(), family, seed, hidden)
