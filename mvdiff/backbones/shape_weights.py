"""Published networks of shape generators in local folders."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from mvdiff.weights.published import load_published, read_published
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.reading import fit, read_json, reading


def read_arguments(path: Path, kind: type[msgspec.Struct], name: str) -> dict[str, Any]:
    """Arguments of a network in a published JSON file, at its top or under "args"; unknown ones are left out.

    Raises:
        InputError: there is no such file, or the network is of another kind than ``kind`` describes.
    """
    if not is_file(path):
        raise InputError(
            f"'{path}' is missing: `mvdiff models list` says which files {name} needs; pass their folder as --weights."
        )
    with reading(path, f"config of {name}", "fetch these weights again"):
        content = read_json(path, dict[str, Any])
        found = fit(content.get("args", content), kind)
    return {field: getattr(found, field) for field in found.__struct_fields__}


def filled(
    module: nn.Module,
    files: Sequence[Path],
    name_of: Callable[[str], str],
    dtype: torch.dtype,
    ignored: Iterable[str] = (),
) -> None:
    """Fill a network on "meta" with the tensors of published files, in one precision.

    Raises:
        InputError: a file is missing or cannot be read, or the weights are of another model.
    """
    load_published(module, read_published(files, dtype), name_of, files[0], ignored)
    module.eval().requires_grad_(False)
