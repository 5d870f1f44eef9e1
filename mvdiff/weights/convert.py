"""Conversion of a pickle to safetensors: the hash is checked before the file is opened, and no code of it is run."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mvdiff.weights.manifest import add_file
from recon.core.errors import InputError
from recon.core.reading import READ_ERRORS, file_sha256, reading
from recon.io.folders import atomic_write


def convert(source: Path, sha256: str, target: Path, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Write the tensors of a checkpoint as safetensors.

    Args:
        source: pickle that ``torch.save`` wrote.
        sha256: hash that its publisher states.
        target: file to write.
        prefix: start of the names to keep, which is removed; empty keeps all.

    Returns:
        Name and shape of each tensor.

    Raises:
        InputError: the hash differs, the file holds more than plain tensors, or no name starts with ``prefix``.
    """
    from safetensors.torch import save_file

    with reading(source, "checkpoint", "download it again"):
        found = file_sha256(source)
    if found != sha256.lower():
        raise InputError(f"The SHA-256 of '{source}' is {found}, not {sha256.lower()}: it is another file or damaged.")
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *READ_ERRORS) as error:  # its own words advise to run the code
        raise InputError(
            f"'{source}' holds more than plain tensors, or none: ask its publisher for safetensors."
        ) from error
    tensors = _tensors(content)
    kept = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not kept:
        raise InputError(f"No tensor of '{source}' starts with '{prefix}': its names start with {_heads(tensors)}.")
    own = {name: value.clone().contiguous() for name, value in kept.items()}  # shared storage cannot be saved
    with atomic_write(target) as temporary:
        save_file(own, temporary, metadata={"format": "pt", "source": source.name, "source_sha256": found})
    add_file(target)
    return {name: tuple(value.shape) for name, value in own.items()}


def _tensors(content: Any) -> dict[str, Tensor]:
    """The state dict, at the top or under the name that trainers give it."""
    for name in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise InputError("The checkpoint holds no mapping of names to tensors: it is of another kind.")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _heads(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted({name.split(".")[0] for name in tensors})[:8]) or "nothing"
