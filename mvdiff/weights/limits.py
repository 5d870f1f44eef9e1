"""Limits of what damaged folders of networks may ask for, and the errors of the libraries that build them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recon.core.reading import reading

#: Largest whole number of a config, and largest number of layers: networks are built before their keys are compared.
_LARGEST, _MOST_LAYERS = 2**20, 1024


@contextlib.contextmanager
def reading_network(folder: Path) -> Iterator[None]:
    """Turn what diffusers and transformers raise on damaged folders inside the block into :class:`InputError`."""
    from huggingface_hub.errors import StrictDataclassError

    with reading(folder, "folder of weights", "pull these weights again"):
        try:
            yield
        except StrictDataclassError as error:  # neither a ValueError nor a TypeError
            raise ValueError(str(error)) from error


def check_numbers(config: Any, name: str = "") -> None:
    """Raise ``ValueError`` for whole numbers that no network has: building it would take hours or all memory."""
    if isinstance(config, dict | list):
        for key, value in config.items() if isinstance(config, dict) else ((name, each) for each in config):
            check_numbers(value, key)
    elif isinstance(config, int):
        most = _MOST_LAYERS if any(part in name for part in ("layers", "blocks", "depth")) else _LARGEST
        if abs(config) > most:
            raise ValueError(f"{name} is {config}, more than {most}")


def prompt_length(tokenizer: Any) -> int:
    """Tokens that a prompt is padded to. Raises ``ValueError`` where the tokenizer states no usable number."""
    length = tokenizer.model_max_length
    if not isinstance(length, int) or not 2 <= length <= 4096:
        raise ValueError(f"its model_max_length is {length}")
    return length
