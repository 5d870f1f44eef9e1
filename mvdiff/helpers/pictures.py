"""Pixels as a network's preprocessor configuration asks for them."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.reading import read_json, reading

#: Pillow's numbers of the filters that published configurations name.
_FILTERS = {2: "bilinear", 3: "bicubic"}


class _Record(msgspec.Struct, frozen=True):
    """``preprocessor_config.json``, as far as it is read."""

    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    size: dict[str, int] | int = {}
    crop_size: dict[str, int] | int = {}
    resample: int = 3


@dataclass(frozen=True)
class Preprocessor:
    """Resampling to a size, and normalization of the channels."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    height: int
    width: int
    filter: str
    """bilinear or bicubic"""

    @staticmethod
    def read(folder: Path, default: int) -> "Preprocessor":
        """Read ``preprocessor_config.json``; ``default`` is the side where it names none.

        A center crop is taken as the size itself, as the objects here are cut out already.
        """
        path = folder / "preprocessor_config.json"
        with reading(path, "configuration of a preprocessor", "pull these weights again"):
            record = read_json(path, _Record)
        size = record.crop_size or record.size
        if isinstance(size, int):
            size = {"height": size, "width": size}
        side = size.get("shortest_edge", default)
        height, width = size.get("height", side), size.get("width", side)
        return Preprocessor(
            record.image_mean, record.image_std, height, width, _FILTERS.get(record.resample, "bicubic")
        )

    def __call__(
        self, rgb: Float[Tensor, "b 3 h w"], multiple: int = 1, keep_aspect: bool = False
    ) -> Float[Tensor, "b 3 _ _"]:
        """Pictures in [0, 1], antialiased to this size, rounded to ``multiple`` pixels, and normalized.

        With ``keep_aspect`` both sides are scaled by the factor that is nearer to 1.
        """
        factors = [self.height / rgb.shape[-2], self.width / rgb.shape[-1]]
        if keep_aspect:
            factors = [min(factors, key=lambda factor: abs(1 - factor))] * 2
        sides = [factor * side for factor, side in zip(factors, rgb.shape[-2:], strict=True)]
        size = [max(multiple, round(side / multiple) * multiple) for side in sides]
        resized = torch.nn.functional.interpolate(rgb, size, mode=self.filter, antialias=True, align_corners=False)
        mean, std = (rgb.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (resized.clamp(0, 1) - mean) / std
