"""Things that stand in scenes: our procedural families at their real size, and meshes of packs."""

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mvdiff.data.procedural import FAMILIES
from mvdiff.data.procedural.materials import Palette
from mvdiff.data.scenes.mesh_classes import class_of
from mvdiff.data.scenes.scene import Split
from mvdiff.data.scenes.soup import vertex_normals

#: Objects of a family that each split draws from: few enough to be kept, each scene changes size and colors.
_VARIANTS = 48
_FIRST_VARIANT = {"train": 0, "validation": 1000, "held_out": 2000}
#: One mesh in this number is held out of each class.
_KEPT = 8

#: Longest edge in meters; families without an entry are modeled in meters.
_SIZES: dict[str, tuple[float, float]] = {
    "mug": (0.1, 0.14), "bottle": (0.22, 0.34), "vase": (0.2, 0.45), "bowl": (0.16, 0.3), "teapot": (0.2, 0.28),
    "package": (0.15, 0.35), "bag": (0.3, 0.5), "potted_plant": (0.35, 1.3), "fruit": (0.08, 0.2),
    "dessert": (0.1, 0.2), "device": (0.15, 0.3), "screen": (0.45, 1.1), "shoe": (0.26, 0.32), "toy": (0.15, 0.35),
    "teddy": (0.25, 0.5), "guitar": (0.95, 1.05), "quadruped": (0.4, 1.0), "bird": (0.15, 0.3), "tool": (0.2, 0.4),
    "tree": (3.0, 7.0), "car": (3.9, 4.6), "truck": (5.0, 7.0), "person": (1.55, 1.9),
    "mushroom": (0.15, 0.5),
}  # fmt: skip


#: The same for meshes of packs, whose families are modeled in meters.
_METRES: dict[str, tuple[float, float]] = {
    "chair": (0.85, 1.0), "table": (1.1, 1.7), "sofa": (1.7, 2.2), "cabinet": (1.1, 1.9), "bed": (2.0, 2.2),
    "lamp": (1.4, 1.7),
}  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """A colored mesh that stands on y = 0, centered in x and z, front +Z, in meters."""

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    """sRGB."""
    size: np.ndarray
    """Extent in x, y, z."""
    flat_top: float
    """Share of its footprint on which something could stand."""

    def scaled(self, factor: float) -> "Thing":
        return replace(self, vertices=self.vertices * factor, size=self.size * factor)

    @staticmethod
    def of(name: str, vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, longest: float | None) -> "Thing":
        low, high = vertices.min(0), vertices.max(0)
        scale = 1.0 if longest is None else longest / (high - low).max()
        vertices = (vertices - np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])) * scale
        size = (high - low) * scale
        corners = vertices[faces]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        top = corners[..., 1].min(1) > size[1] * 0.97
        share = 0.5 * np.abs(normal[top, 1]).sum() / max(size[0] * size[2], 1e-6)
        return Thing(name, vertices, faces, vertex_normals(vertices, faces), colors, size, float(share))


@dataclass(frozen=True)
class Library:
    """All things a split may use; ``packs`` are files of :class:`MeshPack`."""

    split: Split = "train"
    packs: tuple[Path, ...] = ()
    share: float = 0.6
    """Share of things taken from packs, if these have the class."""
    _classes: dict[str, list[tuple[Path, int]]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for path in self.packs:
            for index, name in enumerate(_pack(path).names):
                found = class_of(str(name))
                if found is not None:
                    self._classes.setdefault(found, []).append((path, index))
        for name, members in self._classes.items():
            self._classes[name] = _own(members, self.split)

    def draw(self, rng: np.random.Generator, family: str) -> Thing:
        """A thing of a family or, by chance, a mesh of the class that bears its name."""
        from_pack, variant = rng.uniform() < self.share, int(rng.integers(_VARIANTS))
        pick, size = rng.uniform(), rng.uniform()
        members = self._classes.get(family, [])
        if members and from_pack:
            low, high = _SIZES.get(family) or _METRES[family]
            return _meshed(*members[int(pick * len(members))]).scaled(low + (high - low) * size)
        thing = _grown(family, _FIRST_VARIANT[self.split] + variant)
        low, high = _SIZES.get(family, (1.0, 1.0))
        return thing.scaled(low + (high - low) * size)


def _own(members: Sequence[tuple[Path, int]], split: Split) -> list[tuple[Path, int]]:
    if len(members) < _KEPT:
        return list(members)
    kept = {"validation": 1, "held_out": 5}
    if split == "train":
        return [m for k, m in enumerate(members) if k % _KEPT not in kept.values()]
    return [m for k, m in enumerate(members) if k % _KEPT == kept[split]]


@functools.lru_cache(maxsize=2048)
def _grown(family: str, seed: int) -> Thing:
    """In meters, or with longest edge 1 where the family has a size in the table."""
    rng = np.random.default_rng([seed, zlib.crc32(family.encode()), 7])
    builder = FAMILIES[family](rng, Palette(rng))
    parts = (np.concatenate(builder.vertices), np.concatenate(builder.faces), np.concatenate(builder.colors))
    return Thing.of(f"{family}-{seed}", *parts, 1.0 if family in _SIZES else None)


@functools.lru_cache(maxsize=1024)
def _meshed(path: Path, index: int) -> Thing:
    """With longest edge 1."""
    pack = _pack(path)
    mesh = pack[index]
    arrays = (mesh.vertices.numpy().astype(np.float64), mesh.faces.numpy(), mesh.colors.numpy())
    return Thing.of(str(pack.names[index]), *arrays, 1.0)


@functools.lru_cache(maxsize=16)
def _pack(path: Path):
    from mvdiff.data.sources.packs import MeshPack

    return MeshPack.load(path)
