"""Scenes from seeds."""

import functools
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mvdiff.data.scenes.corridors import corridor
from mvdiff.data.scenes.draft import Dice, Draft
from mvdiff.data.scenes.ground import has_room
from mvdiff.data.scenes.light import LightBaker
from mvdiff.data.scenes.ranges import ranges_of
from mvdiff.data.scenes.rooms import flat, hidden_room, room
from mvdiff.data.scenes.scene import Scene, Soup, Split
from mvdiff.data.scenes.streets import courtyard, street
from mvdiff.data.scenes.terrain import terrain
from mvdiff.data.scenes.things import Library

#: Share of each kind where none is asked for.
KINDS: dict[str, tuple[Callable[[Dice], Draft], float]] = {
    "room": (room, 0.38),
    "flat": (flat, 0.13),
    "hidden_room": (hidden_room, 0.06),
    "corridor": (corridor, 0.08),
    "street": (street, 0.17),
    "courtyard": (courtyard, 0.08),
    "terrain": (terrain, 0.1),
}

#: A furnished room may leave no ground to stand on; then it is drawn again.
_ATTEMPTS = 16
_SPLITS: dict[Split, int] = {"train": 0, "validation": 1, "held_out": 2}


def make_scene(
    kind: str | None,
    seed: int,
    split: Split = "train",
    packs: tuple[Path, ...] = (),
    hidden: str | None = None,
) -> Scene:
    """The scene of ``seed`` (>= 0); the same arguments give the same scene.

    Args:
        kind: One of :data:`KINDS`, or None for the usual mixture.
        split: Seeds, things and (held_out) ranges of the grammar's parameters are disjoint between splits.
        packs: Mesh packs whose things stand among the procedural ones.
        hidden: Value of the hidden attribute; by default its prior is drawn from. All else stays the same.
    """
    if kind is None:
        shares = np.array([share for _, share in KINDS.values()])
        kind = str(np.random.default_rng([seed, _SPLITS[split], 1]).choice(list(KINDS), p=shares / shares.sum()))
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of scene {kind!r}; choose one of {', '.join(KINDS)}.")
    for attempt in range(_ATTEMPTS):
        draft = KINDS[kind][0](dice_of(kind, seed, split, packs, hidden, attempt))
        if has_room(draft.ground):
            return _lit(draft, kind, seed, split)
    raise RuntimeError(f"No scene of kind {kind} and seed {seed} has room to stand, in {_ATTEMPTS} attempts.")


def dice_of(
    kind: str,
    seed: int,
    split: Split = "train",
    packs: tuple[Path, ...] = (),
    hidden: str | None = None,
    attempt: int = 0,
) -> Dice:
    """Random numbers and things of a scene; the hidden attribute is the first draw of its own stream."""
    code = [seed, zlib.crc32(kind.encode()), _SPLITS[split], attempt]
    seen, unseen = (np.random.default_rng([*code, stream]) for stream in (2, 3))
    return Dice(seen, unseen, _library(split, packs), ranges_of(split), hidden)


@functools.lru_cache(maxsize=8)
def _library(split: Split, packs: tuple[Path, ...]) -> Library:
    return Library(split, packs)


def _lit(draft: Draft, kind: str, seed: int, split: Split) -> Scene:
    soup = draft.builder.soup()
    casting = cast_into(soup)
    light, sun = LightBaker(soup, casting).bake(draft.lighting)
    return Scene(
        kind, seed, split, soup, light, draft.builder.atlas(), draft.sky.astype(np.float32), draft.ground,
        draft.outdoors, sun, draft.viewpoint, draft.hidden, casting,
    )  # fmt: skip


def cast_into(soup: Soup) -> object:
    """Embree's acceleration structure over the triangles."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    casting = EmbreeScene(robust=True)
    TriangleMesh(casting, soup.vertices, soup.faces)
    return casting
