"""Weights in eight bits per number: what ships inside the package.

Matrices are rounded to int8 with one scale for each output channel; vectors stay in 16 bits. A folder of packed weights
holds ``packed.json``, one ``<component>/config.json`` each and sharded safetensors.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor

from recon.core.errors import InputError
from recon.core.paths import inside, is_file, is_folder
from recon.core.reading import MAX_ARRAYS, check_finite, read_bytes, read_json, read_safetensors, reading, reason

FORMAT = "mvdiff-packed/1"
INDEX = "packed.json"
EMBEDDED = Path(__file__).parent / "embedded"
#: The folders of the weights in this package, by their names.
SHIPPED = {"embedded": EMBEDDED, "embedded-scene": EMBEDDED.with_name("embedded-scene")}
_SHARD_BYTES = 15 * 2**20


def resolve(weights: str | Path) -> Path:
    """The folder that a name stands for: "embedded", a folder of weights, or the folder of a training run."""
    if str(weights) in SHIPPED:
        return SHIPPED[str(weights)]
    averaged = Path(weights) / "ema"
    return averaged if is_file(averaged / "model_index.json") else Path(weights)


def is_packed(folder: Path) -> bool:
    """Whether ``folder`` holds packed weights, rather than diffusers' own layout."""
    return is_file(folder / INDEX)


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values and a 16-bit scale for each row; the scale minimises nothing but the largest error."""
    scale = (weight.float().abs().amax(-1, keepdim=True) / 127).clamp_min(1e-8).half().float()
    return (weight.float() / scale).round().clamp(-127, 127).to(torch.int8), scale.half()


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    packed = {}
    for name, tensor in state.items():
        if tensor.ndim == 2 and tensor.numel() >= 4096:
            packed[name], packed[f"{name}.scale"] = quantize(tensor.cpu())
        else:
            packed[name] = tensor.half().cpu().contiguous()
    return packed


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for name, tensor in packed.items():
        if name.endswith(".scale") and name.removesuffix(".scale") in packed:
            continue
        scale = packed.get(f"{name}.scale")
        state[name] = tensor.float() if scale is None else tensor.float() * scale.float()
    return state


def save_packed(components: dict[str, torch.nn.Module], folder: Path, provenance: dict) -> None:
    """Write the networks of a pipeline; ``provenance`` (recipe, data, date) goes into the index."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[str]] = {}
    for component, module in components.items():
        target = folder / component
        target.mkdir(exist_ok=True)
        for stale in target.glob("*.safetensors"):
            stale.unlink()
        module.save_config(target)
        _forget_place(target / "config.json")
        shards: list[dict[str, Tensor]] = [{}]
        size = 0
        for name, tensor in pack(module.state_dict()).items():
            size += tensor.nbytes
            if size > _SHARD_BYTES:
                shards.append({})
                size = tensor.nbytes
            shards[-1][name] = tensor.contiguous()
        files[component] = []
        for number, shard in enumerate(shards, 1):
            path = target / f"weights-{number:05d}-of-{len(shards):05d}.safetensors"
            save_file(shard, path)
            files[component].append(f"{component}/{path.name}")
    index = {"format": FORMAT, "files": files, "sha256": _digest(folder, files), "provenance": provenance}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


class Index(msgspec.Struct, frozen=True):
    """``packed.json``."""

    format: Literal["mvdiff-packed/1"]
    files: dict[str, list[str]]
    """Component to the files of its weights, in order."""
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    provenance: dict[str, Any] = {}


def read_index(folder: Path) -> Index:
    with reading(folder / INDEX, "index of weights", "install mvdiff again or pass other weights"):
        return read_json(folder / INDEX, Index)


def load_packed(folder: Path, component: str, model: torch.nn.Module) -> None:
    """Fill ``model`` with the component's weights."""
    packed: dict[str, Tensor] = {}
    for name in read_index(folder).files.get(component, []):
        path = inside(folder, name)
        with reading(path, "file of weights", "fetch it again"):
            tensors, _ = read_safetensors(path)
            check_finite(tensors)
            packed |= tensors
    try:
        model.load_state_dict(unpack(packed))
    except (RuntimeError, TypeError) as error:
        first = reason(ValueError(str(error).strip().splitlines()[-1]))
        raise InputError(
            f"The weights in {folder} are of another architecture than their config says ({first}): fetch them again."
        ) from error


def _forget_place(config: Path) -> None:
    """Remove the path that a network was loaded from out of its config."""
    values = json.loads(config.read_text())
    values.pop("_name_or_path", None)
    config.write_text(json.dumps(values, indent=2) + "\n")


def weights_hash(folder: Path) -> str:
    """SHA-256 over the weights of a packed folder or of any folder of safetensors.

    Raises:
        InputError: where there are none, or a file of the index is missing.
    """
    if is_packed(folder):
        index = read_index(folder)
        gone = [name for names in index.files.values() for name in names if not is_file(inside(folder, name))]
        if gone or not index.files:
            raise InputError(
                f"The weights in '{folder}' lack {gone[0] if gone else 'every network'}: fetch them again."
            )
        return index.sha256
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors")) if is_folder(folder) else []
    if not names:
        raise InputError(f"There are no weights at '{folder}': pass a folder of weights, or 'embedded'.")
    return _digest(folder, {"all": names})


def _digest(folder: Path, files: dict[str, list[str]]) -> str:
    digest = hashlib.sha256()
    for names in files.values():
        for name in names:
            digest.update(read_bytes(folder / name, MAX_ARRAYS))
    return digest.hexdigest()
