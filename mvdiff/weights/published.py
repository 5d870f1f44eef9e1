"""Weights that others published, under their own names, into the networks of this package."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mvdiff.weights.folders import check_keys
from recon.core.reading import read_safetensors, reading


def read_published(files: Sequence[Path], dtype: torch.dtype, prefix: str = "") -> dict[str, Tensor]:
    """Tensors of safetensors files in one precision, ``prefix`` taken off the names that have it.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    found: dict[str, Tensor] = {}
    for path in files:
        with reading(path, "file of weights", "fetch these weights again"):
            tensors = read_safetensors(path)[0].items()
            found |= {name.removeprefix(prefix): value.to(dtype) for name, value in tensors}
    return found


def load_published(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    name_of: Callable[[str], str],
    place: Path | str,
    ignored: Iterable[str] = (),
) -> None:
    """Fill ``module`` with published weights.

    Args:
        module: network, on any device; on "meta" it takes the tensors themselves.
        tensors: weights under their published names.
        name_of: published name of one of the module's own names.
        place: folder of the weights, for errors.
        ignored: beginnings of published names that the module does without.

    Raises:
        InputError: weights are missing, left over or of another shape; all are named.
    """
    own = module.state_dict()
    expected = {name_of(name): tuple(value.shape) for name, value in own.items()}
    left_out = tuple(ignored)
    found = {
        name: tuple(value.shape) for name, value in tensors.items() if not (left_out and name.startswith(left_out))
    }
    check_keys(found, expected, place)
    module.load_state_dict({name: tensors[name_of(name)] for name in own}, assign=True)
