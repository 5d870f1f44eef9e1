"""Lack of GPU memory as one sentence."""

import contextlib
from collections.abc import Iterator

import torch

from recon.core.errors import InputError


@contextlib.contextmanager
def memory_told(device: torch.device, count: int) -> Iterator[None]:
    """Turn a lack of GPU memory while ``count`` hypotheses are drawn into an :class:`InputError` with its remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = f"pass --chunk-size {count // 2}" if count > 1 else "use a GPU with more memory"
        raise InputError(f"{count} hypotheses at a time need more memory than {device} has free: {remedy}.") from error
