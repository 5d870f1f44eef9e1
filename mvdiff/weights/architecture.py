"""Allowed architectures of weights: a folder's configs are checked before anything is built or fetched."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from recon.core.errors import InputError
from recon.core.paths import inside, is_file
from recon.core.reading import fit, read_json

MODEL_INDEX = "model_index.json"

_Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]
_Channels = Annotated[int, msgspec.Meta(ge=1, le=64)]
_Width = Annotated[int, msgspec.Meta(ge=8, le=16_384)]
_Depth = Annotated[int, msgspec.Meta(ge=1, le=256)]


class TransformerConfig(msgspec.Struct, frozen=True):
    """Ranges of the transformer's arguments."""

    sample_size: _Side = 128
    in_channels: _Channels = 8
    patch_size: _Side = 16
    reference_channels: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4
    reference_size: _Side = 128
    reference_patch_size: _Side = 8
    width: _Width = 448
    depth: _Depth = 10
    heads: _Depth = 7
    mlp_ratio: Annotated[float, msgspec.Meta(gt=0, le=64)] = 2.5714286
    learnt_guidance: Annotated[float, msgspec.Meta(ge=0, le=100)] = 1.0
    guidance_below: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    noise_groups: Literal[1, 2] = 1
    condition_channels: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0


class EstimatorConfig(msgspec.Struct, frozen=True):
    """Ranges of the camera estimator's arguments."""

    sample_size: _Side = 128
    in_channels: _Channels = 4
    patch_size: _Side = 8
    width: _Width = 256
    depth: _Depth = 5
    heads: _Depth = 4
    components: _Depth = 8


_CONFIGS = {"transformer": TransformerConfig, "camera_estimator": EstimatorConfig}


class _ModelIndex(msgspec.Struct, frozen=True):
    """``model_index.json``: only classes of this package and diffusers' schedulers are named in it."""

    _class_name: Literal["MultiViewDiffusionPipeline"]
    transformer: tuple[str, Literal["MultiViewTransformer"]]
    camera_estimator: tuple[str, Literal["PhotoCameraEstimator"]]
    scheduler: tuple[Literal["diffusers"], str]


class _ShardIndex(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def read_config(folder: Path, component: str) -> dict[str, Any]:
    """The arguments of a network in ``folder / component``.

    Raises:
        InputError: where there is no such file.
        ValueError: for values out of range, or a network much larger than the files of its weights.
    """
    path = folder / component / "config.json"
    if not is_file(path):
        raise InputError(f"'{folder}' lacks {component}/config.json: fetch these weights again.")
    values = read_json(path, dict[str, Any])
    config = fit(values, _CONFIGS[component])
    held = sum(file.stat().st_size for file in path.parent.glob("*.safetensors") if is_file(file))
    if config.depth * config.width**2 > max(2 * held, 2**24):  # a lower bound, at a byte a weight
        raise ValueError(f"{component}/config.json describes more weights than its files hold")
    return values


def check_saved_pipeline(folder: Path) -> None:
    """Look at all that diffusers would follow in a folder of its own layout. Raises as :func:`read_config` does."""
    index = fit(read_json(folder / MODEL_INDEX, dict[str, Any]), _ModelIndex)
    for library, _ in (index.transformer, index.camera_estimator):
        if not library.startswith("mvdiff."):
            raise ValueError(f"{MODEL_INDEX} names a class of {library}")
    if not is_file(folder / "scheduler" / "scheduler_config.json"):
        raise InputError(f"'{folder}' lacks scheduler/scheduler_config.json: fetch these weights again.")
    read_json(folder / "scheduler" / "scheduler_config.json", dict[str, Any])
    for component in _CONFIGS:
        check_component(folder, component)


def check_component(folder: Path, component: str) -> dict[str, Any]:
    """Look at a network's config and at the files that its weights are split into; returns the config."""
    values = read_config(folder, component)
    for shards in (folder / component).glob("*.index.json"):
        for name in read_json(shards, _ShardIndex).weight_map.values():
            inside(folder / component, name)
    return values
