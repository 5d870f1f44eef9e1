"""Networks of published models in local folders: layout, safety and keys are checked before anything is loaded.

Only safetensors are read and only classes that the caller names are built; nothing is looked for on a network.
"""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch

from mvdiff.weights.limits import check_numbers, reading_network
from recon.core.errors import InputError
from recon.core.paths import inside, is_file, is_folder
from recon.core.reading import read_json, reading

Shapes = dict[str, tuple[int, ...]]

_PICKLES = (".bin", ".ckpt", ".pt", ".pth")
#: Names of the attention of VAEs that diffusers wrote before version 0.18, and today's.
_EARLIER = {"query.": "to_q.", "key.": "to_k.", "value.": "to_v.", "proj_attn.": "to_out.0."}
#: Files of a variant: model.fp16.safetensors, model.fp16-00001-of-00002.safetensors, model.safetensors.index.fp16.json.
_VARIANT = re.compile(r"\.([a-zA-Z]\w*)(?:-\d+-of-\d+)?\.safetensors$|\.safetensors\.index\.(\w+)\.json$")
#: Weights by which a network of transformers may exceed twice what is stored before it is built.
_SPARE = 2**20
#: Constants that earlier versions of transformers stored.
_CONSTANTS = ("position_ids",)


class _ShardIndex(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def load_network(kind: Any, folder: Path, dtype: torch.dtype | None = None) -> Any:
    """Build ``kind`` (a model class of diffusers or transformers) from ``folder`` with all of its weights.

    Raises:
        InputError: the folder names remote code, holds pickles only, lacks shards, or its keys do not fit.
    """
    found, config = read_shapes(folder), read_config(folder)
    renames = getattr(kind, "config_class", None) is not None  # transformers maps earlier names to its own
    if not renames:
        with reading_network(folder):
            expected = expected_shapes(kind, config)
        check_keys(found, expected, folder)
    else:
        check_amount(kind, config, folder)
    options: dict[str, Any] = {"torch_dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if variant := variant_of(weight_files(folder)[0].name):
        options["variant"] = variant
    if renames:
        options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    with reading_network(folder), without_bars():
        loaded = kind.from_pretrained(folder, **options)
    if renames:
        loaded, info = loaded
        _check_loaded(info, folder)
    return loaded.eval().requires_grad_(False)


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Leave out the progress bars of transformers inside the block, where it is installed."""
    try:
        from transformers.utils import logging
    except ImportError:
        yield
        return
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _check_loaded(info: Mapping[str, Any], folder: Path) -> None:
    """Raise :class:`InputError` that names every key that transformers could not place."""
    wrong = {
        "missing": sorted(info["missing_keys"]),
        "unknown": sorted(name for name in info["unexpected_keys"] if not name.endswith(_CONSTANTS)),
        "of another shape": sorted(
            f"{name} {list(stored)} instead of {list(own)}" for name, stored, own in info["mismatched_keys"]
        ),
    }
    _refuse(wrong, folder)


def read_config(folder: Path) -> dict[str, Any]:
    """Arguments of a network. Raises :class:`InputError` where there are none or they name code to run."""
    path = folder / "config.json"
    with reading(path, "config of a network", "pull these weights again"):
        config = read_json(path, dict[str, Any])
        check_numbers(config)
    if "auto_map" in config:
        raise InputError(f"'{path}' names code of its own (auto_map), which is never run: use weights without it.")
    return config


def weight_files(folder: Path) -> list[Path]:
    """Every safetensors file of one network, in the order of their names.

    Raises:
        InputError: there are none, only pickles, or some of the shards that the index lists are missing.
    """
    named = ("*.safetensors.index.json", "*.safetensors.index.*.json")
    indices = [path for kind in named for path in sorted(folder.glob(kind))] if is_folder(folder) else []
    if indices:
        with reading(indices[0], "index of shards", "pull these weights again"):
            names = sorted(set(read_json(indices[0], _ShardIndex).weight_map.values()))
            missing = [name for name in names if not is_file(inside(folder, name))]
        if missing:
            raise InputError(f"'{folder}' lacks the shards {', '.join(missing)}: pull these weights again.")
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors")) if is_folder(folder) else []
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES) if is_folder(folder) else []
    if not found and pickles:
        raise InputError(
            f"'{folder}' holds its weights as a pickle ({pickles[0]}), which can run code and is not read: "
            "convert it by `mvdiff models convert`."
        )
    if not found:
        raise InputError(f"There are no safetensors in '{folder}': pull these weights again, or convert theirs.")
    return _one_variant(found)


def variant_of(name: str) -> str | None:
    """Variant that a file of weights or an index of shards is named after, such as fp16; None for plain ones."""
    found = _VARIANT.search(name)
    return None if found is None else found[1] or found[2]


def _one_variant(found: list[Path]) -> list[Path]:
    """The plain files; where there are none, those of the first variant."""
    plain = [path for path in found if variant_of(path.name) is None]
    return plain or [path for path in found if variant_of(path.name) == variant_of(found[0].name)]


def read_shapes(folder: Path) -> Shapes:
    """Name and shape of each tensor of a network, from the headers of its files alone."""
    from safetensors import safe_open

    shapes: Shapes = {}
    for path in weight_files(folder):
        with reading(path, "file of weights", "pull these weights again"), safe_open(path, "pt") as opened:
            shapes |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    return shapes


def check_amount(kind: Any, config: Mapping[str, Any], folder: Path) -> None:
    """Raise :class:`InputError` where ``kind`` needs far more memory than ``folder`` has weights for.

    transformers allocates what it cannot find, before it says so.
    """
    stored = sum(math.prod(shape) for shape in read_shapes(folder).values())
    with reading_network(folder):
        needed = sum(value.numel() for value in on_meta(kind, config).parameters())
        if needed > 2 * stored + _SPARE:
            raise ValueError(f"its config describes {needed:,} weights, and {stored:,} are stored")


def expected_shapes(kind: Any, config: Mapping[str, Any]) -> Shapes:
    """Name and shape of each tensor that ``kind`` stores, without allocating it."""
    return {name: tuple(value.shape) for name, value in on_meta(kind, config).state_dict().items()}


def on_meta(kind: Any, config: Mapping[str, Any]) -> torch.nn.Module:
    """``kind`` with the arguments ``config``, without memory for its weights."""
    own = getattr(kind, "config_class", None)
    with torch.device("meta"):
        return kind.from_config(dict(config)) if own is None else kind(own.from_dict(dict(config)))


def check_keys(found: Shapes, expected: Shapes, place: Path | str) -> None:
    """Raise :class:`InputError` that names every key that is missing, unknown or of another shape."""
    stored = {_today(name): shape for name, shape in found.items()}
    found = {name: shape for name, shape in stored.items() if name in expected or not name.endswith(_CONSTANTS)}
    wrong = {
        "missing": sorted(expected.keys() - found.keys()),
        "unknown": sorted(found.keys() - expected.keys()),
        "of another shape": sorted(
            f"{name} {list(found[name])} instead of {list(expected[name])}"
            for name in found.keys() & expected.keys()
            if found[name] != expected[name]
        ),
    }
    _refuse(wrong, place)


def _refuse(wrong: Mapping[str, list[str]], place: Path | str) -> None:
    said = [f"{len(names)} {how}: {', '.join(names)}" for how, names in wrong.items() if names]
    if said:
        raise InputError(f"The weights in '{place}' are of another model ({'; '.join(said)}): pass those of this one.")


def _today(name: str) -> str:
    """Today's name of a tensor that an earlier diffusers stored."""
    head, dot, tail = name.rpartition(".attentions.0.")
    for old, new in _EARLIER.items():
        if dot and tail.startswith(old):
            return head + dot + new + tail.removeprefix(old)
    return name
