"""Lack of GPU memory as one sentence."""

import contextlib
import re
from collections.abc import Iterator

import torch

from recon.core.errors import InputError


@contextlib.contextmanager
def memory_told(device: torch.device, count: int) -> Iterator[None]:
    """Turn a lack of GPU memory while ``count`` objects are drawn into an :class:`InputError` with its remedies."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        fewer = f"pass --chunk-size {count // 2}, or " if count > 1 else ""
        objects = f"{count} objects at a time need" if count > 1 else "One object needs"
        raise InputError(
            f"{objects} more memory than {device} has{_amounts(device, error)}: {fewer}pass --offload, which keeps on "
            "the GPU only the network that is in use, or use a GPU with more memory."
        ) from error


def _amounts(device: torch.device, error: BaseException) -> str:
    """Amounts of memory that were asked for and in use, as far as they are known, in parentheses."""
    asked = re.search(r"allocate ([\d.]+ [KMGT]i?B)", str(error))
    parts = [f"{asked[1]} more were asked for"] if asked else []
    if device.type == "cuda":
        used, total = torch.cuda.memory_allocated(device), torch.cuda.mem_get_info(device)[1]
        parts.append(f"{used / 1e9:.1f} of {total / 1e9:.1f} GB were in use")
    return f" ({', '.join(parts)})" if parts else ""
