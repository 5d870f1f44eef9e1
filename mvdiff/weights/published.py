"""Weights that others published, under their own names, into the networks of this package."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from recon.core.errors import InputError
from recon.core.reading import read_safetensors, reading

_NAMED = 8


def read_published(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """Tensors of a safetensors file, ``prefix`` taken off the names that have it.

    Raises:
        InputError: the file cannot be read.
    """
    with reading(path, "file of weights", "fetch these weights again"):
        return {name.removeprefix(prefix): value for name, value in read_safetensors(path)[0].items()}


def load_published(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    name_of: Callable[[str], str],
    source: str,
    ignored: Iterable[str] = (),
) -> None:
    """Fill ``module`` with published weights.

    Args:
        module: network, on any device; on "meta" it takes the tensors themselves.
        tensors: weights under their published names.
        name_of: published name of one of the module's own names.
        source: what errors call the weights.
        ignored: beginnings of published names that the module does without.

    Raises:
        InputError: weights are missing, left over or of another shape; all are named.
    """
    own = {name: (name_of(name), tuple(value.shape)) for name, value in module.state_dict().items()}
    wanted = {theirs for theirs, _ in own.values()}
    _refuse(source, "lack", sorted(wanted - tensors.keys()))
    left = sorted(n for n in tensors.keys() - wanted if not n.startswith(tuple(ignored)))
    _refuse(source, "have besides", left)
    odd = sorted(theirs for theirs, shape in own.values() if tuple(tensors[theirs].shape) != shape)
    _refuse(source, "have in other shapes", odd)
    module.load_state_dict({name: tensors[theirs] for name, (theirs, _) in own.items()}, assign=True)


def _refuse(source: str, fault: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise InputError(
            f"{source} are of another model: they {fault} {', '.join(names[:_NAMED])}{more}. Fetch those of this model."
        )
