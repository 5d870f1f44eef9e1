"""Batches of views of recorded scenes in the world of one photo each."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Num, UInt8
from torch import Tensor

from mvdiff.data.scenes.augment import PhotoDefects, augment_photos
from mvdiff.data.scenes.frame import PHOTO_DEPTH, photo_frame, photo_median, to_photo_frame
from mvdiff.models.encoding import SceneCode
from mvdiff.training.scenes.config import SceneBatchConfig
from mvdiff.training.scenes.groups import Choice, Task, choose
from recon.core.cameras import Cameras
from recon.core.views import ViewSet

_MEDIANS = (0.05, 500.0)


@runtime_checkable
class SceneArrays(Protocol):
    """Records of ``s`` scenes with ``u`` views each, on one device."""

    rgba: UInt8[Tensor, "s u 4 h w"]
    normal: Num[Tensor, "s u 3 h w"]
    """Times 127."""
    depth: Float[Tensor, "s u h w"]
    c2w: Float[Tensor, "s u 4 4"]
    intrinsics: Float[Tensor, "s u 3 3"]
    place: Num[Tensor, "s u"]
    role: Num[Tensor, "s u"]


@dataclass(frozen=True)
class SceneBatch:
    """``b`` groups of views, each in the world of its photo."""

    views: Float[Tensor, "b v 8 h w"]
    """As the code of scenes has them; the photo first, with its true colors."""
    cameras: Cameras
    photo: Float[Tensor, "b 3 h w"]
    """As it was taken, in [-1, 1]."""
    task: Int[Tensor, "b"]
    given: Int[Tensor, "b"]
    """So many views after the photo are known."""
    sources: Float[Tensor, "k m 8 h w"]
    """Views to warp into the last k groups, the stations: the photo first, then the given views."""
    source_cameras: Cameras

    @property
    def stations(self) -> slice:
        return slice(len(self.views) - len(self.sources), None)

    @property
    def alone(self) -> Bool[Tensor, "k 1 1 1 1"]:
        """Stations of which the photo alone is known: their other sources are copies of it."""
        c2w = self.source_cameras.c2w
        return (c2w == c2w[:, :1]).flatten(1).all(1)[:, None, None, None, None]

    def to(self, device: torch.device) -> "SceneBatch":
        return SceneBatch(**{name: value.to(device) for name, value in vars(self).items()})


def draw_batch(
    store: SceneArrays, count: int, batch_size: int, generator: torch.Generator, config: SceneBatchConfig
) -> SceneBatch:
    """Draw groups from the first ``count`` records; all randomness is ``generator``'s, on the store's device.

    In full precision also under autocast: cameras and places need all their bits.
    """
    with torch.autocast(store.rgba.device.type, enabled=False):
        return _drawn(store, count, batch_size, generator, config)


def _drawn(
    store: SceneArrays, count: int, batch_size: int, generator: torch.Generator, config: SceneBatchConfig
) -> SceneBatch:
    choice = choose(store.role[:count].long(), store.place[:count].long(), batch_size, generator, config)
    dice = _Dice.of(batch_size, generator, config, store.rgba.device)
    photo_c2w = store.c2w[choice.scene, choice.views[:, 0]].float()
    median = photo_median(store.depth[choice.scene, choice.views[:, 0]]).clamp(*_MEDIANS)
    world = _PhotoWorlds(photo_c2w, median)

    views = dice.applied(world.views(store, choice.scene, choice.views), slice(None))
    sources = dice.applied(
        world[choice.stations].views(store, choice.scene[choice.stations], choice.sources), choice.stations
    )
    code = SceneCode(PHOTO_DEPTH)
    return SceneBatch(
        views=code.encode(views),
        cameras=views.cameras,
        photo=dice.photo(views) * 2 - 1,
        task=_tasks(choice),
        given=choice.given,
        sources=code.encode(sources),
        source_cameras=sources.cameras,
    )


def _tasks(choice: Choice) -> Int[Tensor, "b"]:
    task = torch.empty_like(choice.scene)
    start = 0
    for name in Task:
        task[start : start + choice.counts[name]] = int(name)
        start += choice.counts[name]
    return task


@dataclass(frozen=True)
class _PhotoWorlds:
    """From each scene's world into that of its photo."""

    photo_c2w: Float[Tensor, "b 4 4"]
    median: Float[Tensor, "b"]

    def __getitem__(self, rows: slice) -> "_PhotoWorlds":
        return _PhotoWorlds(self.photo_c2w[rows], self.median[rows])

    def views(self, store: SceneArrays, scene: Int[Tensor, "b"], views: Int[Tensor, "b v"]) -> ViewSet:
        at = (scene[:, None], views)
        rgba = store.rgba[at].float() / 255
        depth = store.depth[at].float() * (PHOTO_DEPTH / self.median)[:, None, None, None]
        turn = photo_frame(self.photo_c2w)[:, :3, :3]
        normal = torch.einsum("bij,bvjhw->bvihw", turn, store.normal[at].float() / 127)
        c2w = to_photo_frame(store.c2w[at].float(), self.photo_c2w, self.median)
        cameras = Cameras(c2w, store.intrinsics[at].float(), rgba.shape[-1], rgba.shape[-2])
        return ViewSet(rgba[:, :, :3], rgba[:, :, 3:], cameras, normal, depth[:, :, None])


@dataclass(frozen=True)
class _Dice:
    """Random light, mirroring and photo defects of each group."""

    mirror: Bool[Tensor, "b"]
    gamma: Float[Tensor, "b 1 1 1 1"]
    gain: Float[Tensor, "b 1 3 1 1"]
    spoil: Bool[Tensor, "b"]
    generator: torch.Generator
    defects: PhotoDefects

    @staticmethod
    def of(count: int, generator: torch.Generator, config: SceneBatchConfig, device: torch.device) -> "_Dice":
        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, device=device) * config.exposure

        mirror, spoil = torch.rand(2, count, generator=generator, device=device)
        gain = (normal(count, 1, 1, 1, 1) + 0.5 * normal(count, 1, 3, 1, 1)) * 0.5
        return _Dice(
            mirror < config.mirror,
            normal(count, 1, 1, 1, 1).exp(),
            gain.exp(),
            spoil < config.augment_photo,
            generator,
            config.defects,
        )

    def applied(self, views: ViewSet, rows: slice) -> ViewSet:
        """Views of the groups ``rows`` in their light, and mirrored where that is so."""
        rgb = (views.rgb.clamp_min(1e-4).pow(self.gamma[rows]) * self.gain[rows]).clamp(0, 1)
        mirror = self.mirror[rows]
        flipped = mirrored(ViewSet(rgb, views.alpha, views.cameras, views.normal, views.depth))

        def pick(one: Tensor, other: Tensor) -> Tensor:
            return torch.where(mirror.reshape(-1, *[1] * (one.ndim - 1)), one, other)

        cameras = Cameras(
            pick(flipped.cameras.c2w, views.cameras.c2w),
            pick(flipped.cameras.intrinsics, views.cameras.intrinsics),
            views.cameras.width,
            views.cameras.height,
        )
        return ViewSet(
            pick(flipped.rgb, rgb),
            pick(flipped.alpha, views.alpha),
            cameras,
            pick(flipped.normal, views.normal),
            pick(flipped.depth, views.depth),
        )

    def photo(self, views: ViewSet) -> Float[Tensor, "b 3 h w"]:
        """The first views as a camera might have taken them."""
        true = views.rgb[:, 0]
        spoiled = augment_photos(true, views.normal[:, 0], views.depth[:, 0, 0], self.generator, self.defects)
        return torch.where(self.spoil[:, None, None, None], spoiled, true)


def mirrored(views: ViewSet) -> ViewSet:
    """The views of a world mirrored at the plane x = 0, taken by mirrored cameras."""
    sign = views.rgb.new_tensor([-1.0, 1.0, 1.0])
    c2w = views.cameras.c2w.clone()
    c2w[..., :3, :3] = sign[:, None] * c2w[..., :3, :3] * sign
    c2w[..., :3, 3] = c2w[..., :3, 3] * sign
    intrinsics = views.cameras.intrinsics.clone()
    intrinsics[..., 0, 2] = views.cameras.width - intrinsics[..., 0, 2]
    return ViewSet(
        views.rgb.flip(-1),
        views.alpha.flip(-1),
        Cameras(c2w, intrinsics, views.cameras.width, views.cameras.height),
        views.normal.flip(-1) * sign[:, None, None],
        views.depth.flip(-1),
    )
