"""Contract of a backbone as a function: what :class:`~mvdiff.sampling.sampler.ViewSampler` promises, tried out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mvdiff.sampling.conditions import Conditions
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import Channel, Sampled, SamplingRequest, ViewSampler

_CHANNELS: tuple[Channel, ...] = ("rgb", "alpha", "normal", "depth")
#: Share of the values that may differ more than the tolerance, where a threshold decides on a pixel.
_OUTLIERS = 1e-3
_SEEDS = (11, 7, 5)


def check_backbone(
    sampler: ViewSampler, photo: Any = None, num_inference_steps: int = 2, tolerance: float = 1e-4
) -> list[str]:
    """Try every promise of a backbone on a small request.

    Args:
        sampler: the backbone, in single precision.
        photo: picture that it can use; by default a drawn one.
        num_inference_steps: denoising steps of each call.
        tolerance: largest difference that another batch size may make to a value.

    Returns:
        The promises that were kept, one sentence each.

    Raises:
        AssertionError: a promise is broken; the message is that promise.

    Example:
        >>> from mvdiff.backbones.registry import load_sampler
        >>> from mvdiff.testing import check_backbone
        >>> check_backbone(load_sampler("embedded", dtype=torch.float32))  # doctest: +SKIP
    """
    kept: list[str] = []

    def promise(holds: bool, text: str) -> None:
        assert holds, text
        kept.append(text)

    promise(isinstance(sampler, ViewSampler), "It has all methods and properties of ViewSampler.")
    _check_info(sampler, promise)
    reference = sampler.prepare(_drawn_photo() if photo is None else photo)
    promise(float(reference.rgba[3].max()) > 0.5, "prepare() cuts an object out of the photo.")
    steps: list[int] = []
    settings = _settings(sampler, num_inference_steps)
    three = sampler.sample(_request(reference, _SEEDS, settings), steps.append)
    promise(steps == list(range(1, num_inference_steps + 1)), "on_step is called with 1, 2, … after each step.")
    _check_views(sampler, three, promise)
    one = sampler.sample(_request(reference, _SEEDS[1:2], settings))
    text = "An object depends on its own seed only, not on how many are drawn with it or in which order."
    promise(_same(one, three, [1], tolerance), text)
    promise(not torch.equal(three.views.rgb[0], three.views.rgb[1]), "Different seeds give different objects.")
    again = sampler.sample(_request(reference, _SEEDS, settings))
    promise(
        _same(again, three, [0, 1, 2], 0.0), "The same request gives the same result: no request changes the sampler."
    )
    _check_photo_cameras(sampler, reference, promise)
    return kept


def _check_info(sampler: ViewSampler, promise: Any) -> None:
    info = sampler.info
    promise(bool(info.name) and info.name == info.name.strip(), "info.name is a name.")
    promise(bool(info.license), "info.license names the license of the weights.")
    promise(
        {"rgb", "alpha"} <= info.channels <= set(_CHANNELS), "info.channels has rgb and alpha, and known ones only."
    )
    known = set(Conditions.__dataclass_fields__) - {"strength"} | {"elevation"}
    promise(info.conditions <= known, "info.conditions names fields of Conditions, or elevation.")
    promise(set(info.defaults) <= set(GenerationConfig().sampling), "info.defaults names settings of sampling.")


def _check_views(sampler: ViewSampler, sampled: Sampled, promise: Any) -> None:
    views, count = sampled.views, len(_SEEDS)
    given = {name for name in _CHANNELS if getattr(views, name) is not None}
    promise(given == sampler.info.channels, "The views have the channels that info.channels names, and no others.")
    promise(len(views) == count and views.num_views >= 2, "There is one object of at least two views for each seed.")
    promise(views.device == sampler.device, "The views are on the sampler's device.")
    values = [getattr(views, name) for name in sorted(given)]
    promise(all(bool(value.isfinite().all()) for value in values), "All values are finite.")
    for name in ("rgb", "alpha"):
        value = getattr(views, name)
        promise(float(value.min()) >= 0 and float(value.max()) <= 1, f"{name} lies in [0, 1].")
    rotation = views.cameras.c2w[..., :3, :3].double()
    unit = torch.eye(3, dtype=torch.float64, device=rotation.device)
    close = float((rotation @ rotation.mT - unit).abs().max()) < 1e-3
    promise(
        close and bool((torch.linalg.det(rotation) > 0).all()), "Cameras are right-handed rotations with a position."
    )
    if views.normal is not None:
        length = views.normal.norm(dim=2)
        fits = ((length - 1).abs() < 1e-2) | (length < 1e-2)
        promise(float(fits.float().mean()) > 0.99, "Normals have length 1, or 0 where there is none.")
    if views.depth is not None:
        promise(float(views.depth.min()) >= 0, "Depth is not negative.")


def _check_photo_cameras(sampler: ViewSampler, reference: ReferenceImage, promise: Any) -> None:
    one, other = (sampler.draw_photo_cameras(reference, _SEEDS, azimuth=40.0) for _ in range(2))
    promise(len(one) == len(_SEEDS), "draw_photo_cameras() gives one camera for each seed.")
    promise(bool(torch.equal(one.elevation, other.elevation)), "The same seeds draw the same photo cameras.")
    promise(float((one.azimuth - 40).abs().max()) < 1e-3, "draw_photo_cameras() takes over the azimuth.")
    if "elevation" in sampler.info.conditions:
        known = sampler.draw_photo_cameras(reference, _SEEDS, elevation=25.0).elevation
        promise(float((known - 25).abs().max()) < 1e-2, "draw_photo_cameras() takes over a known elevation.")


def _settings(sampler: ViewSampler, steps: int) -> GenerationConfig:
    return GenerationConfig(**{**sampler.info.defaults, "num_inference_steps": steps, "candidates": 1})


def _request(reference: ReferenceImage, seeds: Sequence[int], settings: GenerationConfig) -> SamplingRequest:
    return SamplingRequest(reference, list(seeds), settings)


def _same(one: Sampled, other: Sampled, indices: list[int], tolerance: float) -> bool:
    """Whether the objects of ``one`` are those ``indices`` of ``other``, but for a few values."""
    pairs: list[tuple[Tensor | None, Tensor | None]] = [
        (getattr(one.views, name), getattr(other.views, name)) for name in _CHANNELS
    ]
    pairs.append((one.photo_cameras.parameters, other.photo_cameras.parameters))
    apart = [((a - b[indices]).abs() > tolerance).float().mean() for a, b in pairs if a is not None and b is not None]
    return all(float(share) <= (_OUTLIERS if tolerance else 0.0) for share in apart)


def _drawn_photo() -> Image.Image:
    """A mug of two colors on a transparent background."""
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:56, 20:44] = (200, 80, 30, 255)
    rgba[20:30, 24:30] = (20, 80, 200, 255)
    return Image.fromarray(rgba)
