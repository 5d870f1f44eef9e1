"""Choice of the views of recorded scenes that form a group, made on the device without asking it for numbers."""

from dataclasses import dataclass, fields
from enum import IntEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mvdiff.training.scenes.config import SceneBatchConfig, SceneMixture

PHOTO, SPHERE, PATH = range(3)
"""Roles of views in a record."""


class Task(IntEnum):
    """In the order of a batch: stations come last."""

    SPHERE = 0
    KNOWN_RGB = 1
    TWO_PHOTOS = 2
    STATION = 3


def task_counts(batch_size: int, mixture: SceneMixture) -> dict[Task, int]:
    """Number of groups of each task in a batch: constant, because compiled code is for one shape."""
    shares = {Task[each.name.upper()]: getattr(mixture, each.name) for each in fields(mixture)}
    total, passed, counts = sum(shares.values()), 0.0, {}
    for task in Task:
        before = int(batch_size * passed / total + 0.5)
        passed += shares[task]
        counts[task] = int(batch_size * min(passed / total, 1.0) + 0.5) - before
    return counts


@dataclass(frozen=True)
class Choice:
    """Views of ``b`` groups, as places in the records of their scenes."""

    scene: Int[Tensor, "b"]
    views: Int[Tensor, "b v"]
    """The photo first."""
    sources: Int[Tensor, "k m"]
    """Known views of the last k groups, the stations, to be warped: the photo first, or copies of it alone."""
    given: Int[Tensor, "b"]
    """So many views after the photo are known; they are sources, too."""
    counts: dict[Task, int]

    @property
    def stations(self) -> slice:
        return slice(len(self.scene) - len(self.sources), None)


def choose(
    role: Int[Tensor, "s u"],
    place: Int[Tensor, "s u"],
    batch_size: int,
    generator: torch.Generator,
    config: SceneBatchConfig,
) -> Choice:
    """Draw groups from records of these roles and places."""
    counts = task_counts(batch_size, config.mixture)
    picker = _Picker.of(role, place, batch_size, generator)
    stations = batch_size - counts[Task.STATION]
    views = picker.sphere(config)
    two = slice(counts[Task.SPHERE] + counts[Task.KNOWN_RGB], stations)
    views[two, 0] = picker.second_photo()[two]
    known, new, here = picker.station(config)
    given = torch.randint(config.memory + 1, (batch_size,), generator=generator, device=role.device)
    given = torch.where(here[:, 0], 0, given)
    given[:stations] = 0
    slots = torch.arange(config.views, device=role.device)
    padded = known[:, slots.clamp_max(config.memory - 1)]
    views[stations:] = torch.where(slots < given[:, None], padded, new)[stations:]
    photo = picker.photo[:, None]
    return Choice(
        picker.scene,
        torch.cat([photo, views], 1),
        torch.cat([photo, known], 1)[stations:],
        given,
        counts,
    )


@dataclass(frozen=True)
class _Picker:
    """Draws of views by preference: of the views that suit best, random ones; where there are too few, others."""

    scene: Int[Tensor, "b"]
    photo: Int[Tensor, "b"]
    role: Int[Tensor, "b u"]
    here: Bool[Tensor, "b u"]
    """Views of the photo's place."""
    generator: torch.Generator

    @staticmethod
    def of(role: Tensor, place: Tensor, batch_size: int, generator: torch.Generator) -> "_Picker":
        scene = torch.randint(len(role), (batch_size,), generator=generator, device=role.device)
        role, place = role[scene], place[scene]
        chance = torch.rand(role.shape, generator=generator, device=role.device)
        photo = ((role == PHOTO) + chance * 0.5).argmax(1)
        return _Picker(scene, photo, role, place == place.gather(1, photo[:, None]), generator)

    def _rand(self, *shape: int) -> Float[Tensor, "*_"]:
        return torch.rand(shape, generator=self.generator, device=self.role.device)

    def best(self, preference: Tensor, count: int, taken: Tensor | None = None) -> Int[Tensor, "b n"]:
        score = preference.float() + 0.9 * self._rand(*self.role.shape)
        for views in (self.photo[:, None], *(() if taken is None else (taken,))):
            score = score.scatter(1, views, -9.0)
        return score.topk(count, 1).indices

    def sphere(self, config: SceneBatchConfig) -> Int[Tensor, "b n"]:
        """The photo's own sphere, in some groups mixed with views of a walk from there."""
        mixed = self._rand(len(self.scene), 1) < config.path_views
        own = self.here & ((self.role == SPHERE) | (mixed & (self.role == PATH)))
        return self.best(2 * own + self.here, config.views)

    def second_photo(self) -> Int[Tensor, "b"]:
        return self.best((self.role == PHOTO) | (self.role == PATH), 1)[:, 0]

    def station(self, config: SceneBatchConfig) -> tuple[Int[Tensor, "b m"], Int[Tensor, "b n"], Bool[Tensor, "b 1"]]:
        """Known views, from the photo's sphere, and new ones: another place's sphere or views of a walk.

        Where the third value is true, the photo alone is known and the new views are its own sphere.
        """
        around = self.here & (self.role == SPHERE)
        known = self.best(2 * around + self.here, config.memory)
        sphere = self._rand(len(self.scene), 1) < config.stations_on_spheres
        here = self._rand(len(self.scene), 1) < config.stations_here
        known = torch.where(here, self.photo[:, None], known)
        elsewhere = torch.where(sphere, (self.role == SPHERE) & ~self.here, self.role == PATH)
        wanted = torch.where(here, 2 * around + self.here, 2 * elsewhere + (self.role == PATH))
        return known, self.best(wanted, config.views, known), here
