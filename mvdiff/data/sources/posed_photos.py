"""Posed photo sets (transforms.json, saved ViewSets) as training records: no mesh needed.

Every photo is turned, by a homography about its own center, into one that looks at the object's middle with the lens
that holds it; where it was taken from stays as it is. What photos do not show (normals, depth) is marked as unknown.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.data.render.record import ObjectRecord, RecordConfig, reference_cameras, target_cameras, to_bytes
from mvdiff.data.sources.import_config import ImportPhotos
from mvdiff.data.stores.shards import ShardInfo, ShardObject, ShardWriter
from mvdiff.data.warp import SeededRandom
from mvdiff.sampling.photo_camera import RADIUS
from mvdiff.sampling.reference import MARGIN
from recon.core.bounding import BoundingSphere
from recon.core.cameras import Cameras
from recon.core.conventions import world_rotation
from recon.core.errors import InputError
from recon.core.paths import is_file, is_folder
from recon.core.views import ViewSet
from recon.io.folders import write_bytes
from recon.io.views.files import load_views

_LEAST_VIEWS = 6


def import_photos(config: ImportPhotos) -> Iterator[tuple[int, int, ShardInfo | None]]:
    """Write one object for each photo set; yields (done, all, the shard that has just been finished)."""
    config.check()
    if is_folder(config.output) and any(config.output.iterdir()) and not config.overwrite:
        raise InputError(f"'{config.output}' holds files already: choose another folder, or pass --overwrite.")
    writer = ShardWriter(config.output, config.record)
    objects: list[ShardObject] = []
    skipped: dict[str, str] = {}
    total = len(config.photos) * config.variants
    for index, path in enumerate(config.photos):
        name = path.parent.name if is_file(path) else path.name
        try:
            views = upright(load_views(path), config.up)
            for variant in range(config.variants):
                record = photo_record(views, index * 1_000_003 + variant + config.seed, config.record)
                origin: dict[str, Any] = {"name": name, "licence": config.licence, "source": str(path.name)}
                objects.append(ShardObject(record, origin))
                yield index * config.variants + variant + 1, total, None
        except InputError as error:
            skipped[name] = str(error)
    write_bytes(config.output / "plan.txt", b"imported")
    writer.write("imported", objects, skipped)
    yield total, total, writer.shards[-1]
    writer.finish()


def upright(views: ViewSet, up: str) -> ViewSet:
    """The views in this package's world: +Y up, the object in the sphere of radius 0.5 around the origin."""
    if len(views) != 1:
        raise InputError(f"Give one object at a time, not {len(views)} hypotheses.")
    if views.num_views < _LEAST_VIEWS:
        raise InputError(f"Give {_LEAST_VIEWS} views from around the object or more, not {views.num_views}.")
    rotation = world_rotation(up)
    cameras = replace(views.cameras, c2w=rotation.to(views.cameras.c2w) @ views.cameras.c2w)
    normal = None
    if views.normal is not None:
        normal = torch.einsum("ij,nvjhw->nvihw", rotation[:3, :3].to(views.normal), views.normal)
    views = replace(views, cameras=cameras, normal=normal)
    return BoundingSphere.of_views(views).to_unit(views)


def photo_record(views: ViewSet, seed: int, config: RecordConfig) -> ObjectRecord:
    """A record of :func:`upright` views; which photos stand in which place depends on ``seed``."""
    dice = SeededRandom(seed)
    position = views.cameras.position[0]
    distance = position.norm(dim=-1)
    if float(distance.min()) <= RADIUS * 1.05:
        raise InputError("A camera stands inside the object's bounding sphere: check the poses and the silhouettes.")
    azimuth = torch.rad2deg(torch.atan2(position[:, 0], position[:, 2]))
    angles = torch.stack([azimuth, torch.rad2deg(torch.asin(position[:, 1] / distance))], -1)
    chosen = torch.cat([_ring(azimuth, dice, config.ring_views), _spread(azimuth, dice, config.references)])
    targets = target_cameras(angles[chosen], distance[chosen], config.size)
    pictures, known = _turned(views, chosen, targets)

    photos = chosen[config.ring_views :]
    crops = _crops(pictures[config.ring_views :, 3] > 0.5, targets[config.ring_views :])
    parameters = torch.cat(
        [azimuth[photos, None], torch.deg2rad(angles[photos, 1:]), crops, distance[photos, None]], -1
    )
    references, _ = _turned(views, photos, reference_cameras(parameters).cameras(config.size))
    pictures = pictures * (pictures[:, 3:4] > 0)
    return ObjectRecord(
        to_bytes(pictures), angles[chosen], distance[chosen], to_bytes(references[:, :4]), parameters, known
    )


def _ring(azimuth: Float[Tensor, "v"], dice: SeededRandom, count: int) -> Tensor:
    """For each place of an even ring the photo that is nearest in azimuth."""
    places = (torch.arange(count) + dice.uniform(0, 1, 1)) * (360 / count)
    apart = (places[:, None] - azimuth[None] + 180) % 360 - 180
    return apart.abs().argmin(1)


def _spread(azimuth: Float[Tensor, "v"], dice: SeededRandom, count: int) -> Tensor:
    """``count`` photos from all around, the same ones again only when there are fewer."""
    order = azimuth.argsort().roll(int(dice.number(0, len(azimuth))))
    return order[torch.linspace(0, len(azimuth) - 1e-3, count + 1)[:-1].long()]


def _turned(views: ViewSet, chosen: Tensor, into: Cameras) -> tuple[Float[Tensor, "t 8 h w"], Bool[Tensor, "8"]]:
    """Resample the photos ``chosen`` into cameras at the same positions."""
    fine = _oversampling(views.cameras[0][chosen], into)
    dense = into.resized(into.width * fine, into.height * fine)
    origins, directions = dense.rays()
    source = views.cameras[0][chosen]
    pixels, depth = source.project(origins + directions)
    grid = pixels / pixels.new_tensor([source.width, source.height]) * 2 - 1
    grid = torch.where(depth[..., None] > 0, grid, 2.0).unflatten(1, (dense.height, dense.width))
    alpha = views.alpha[0][chosen]
    parts = [views.rgb[0][chosen], torch.ones_like(alpha)]
    known = torch.ones(8, dtype=torch.bool)
    parts.append(torch.zeros_like(parts[0]) if views.normal is None else views.normal[0][chosen])
    parts.append(torch.zeros_like(alpha) if views.depth is None else views.depth[0][chosen])
    known[4:7], known[7] = views.normal is not None, views.depth is not None
    premultiplied = torch.cat(parts, 1) * alpha
    found = torch.nn.functional.grid_sample(premultiplied, grid, align_corners=False)
    found = torch.nn.functional.avg_pool2d(found, fine)
    alpha = found[:, 3:4]
    color, _, normal, depth = (found / alpha.clamp_min(1e-6)).split([3, 1, 3, 1], 1)
    if views.normal is not None:
        normal = torch.nn.functional.normalize(normal, dim=1) * 0.5 + 0.5
    if views.depth is not None:
        depth = _depth_along(depth, source, into) - into.position.norm(dim=-1)[:, None, None, None] + 0.5
    return torch.cat([color, alpha, normal, depth], 1), known


def _depth_along(depth: Float[Tensor, "t 1 h w"], source: Cameras, into: Cameras) -> Float[Tensor, "t 1 h w"]:
    """z-depth of ``source`` as z-depth of ``into``: the same point on the same ray, another axis."""
    directions = into.rays()[1].unflatten(1, (into.height, into.width))
    along = [(directions * cameras.c2w[:, None, None, :3, 2]).sum(-1) for cameras in (source, into)]
    return depth * (along[1] / along[0].clamp_min(1e-3))[:, None]


def _oversampling(source: Cameras, into: Cameras) -> int:
    """Samples along a pixel's side, so that no pixel of the photos is passed over."""
    ratio = float((source.intrinsics[:, 1, 1] / into.intrinsics[:, 1, 1]).max())
    return max(1, min(16, math.ceil(ratio)))


def _crops(masks: Bool[Tensor, "r h w"], cameras: Cameras) -> Float[Tensor, "r 3"]:
    """Centre and log scale of the crops that ``mvdiff.sampling.reference.prepare`` would make of these silhouettes."""
    crops = []
    for mask, camera in zip(masks, cameras, strict=True):
        if not mask.any():
            raise InputError("A photo does not show the object: check its silhouette and its pose.")
        pixels = mask.nonzero().flip(-1).float()
        box = torch.stack([pixels.amin(0), pixels.amax(0) + 1])
        low, high = (box - camera.intrinsics[:2, 2]) / camera.intrinsics[0, 0]
        half = float((high - low).max()) * MARGIN / 2
        center = -(low + high) / 2 / half
        scale = math.log(RADIUS / float(camera.position.norm()) / half)
        crops.append(torch.tensor([float(center[0]), float(center[1]), scale]))
    return torch.stack(crops)
