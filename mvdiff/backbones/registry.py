"""Backbones by name: those of this package, and those that installed packages add.

A package adds one under the entry-point group ``mvdiff.backbones``: a callable that takes the keyword arguments of
:func:`load_sampler` and returns a :class:`~mvdiff.sampling.sampler.ViewSampler`.
"""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mvdiff.backbones.catalog import find
from mvdiff.sampling.sampler import ViewSampler
from recon.core.errors import InputError

GROUP = "mvdiff.backbones"

_ZERO123 = "mvdiff.backbones.zero123plus:Zero123PlusSampler.from_pretrained"
#: Name to its loader and the arguments that stand for the name.
_OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "embedded": ("mvdiff.backbones.embedded:EmbeddedSampler.from_pretrained", {}),
    "zero123plus": (_ZERO123, {"name": "zero123plus"}),
    "zero123plus-white": (_ZERO123, {"name": "zero123plus-white"}),
}


def backbone_names() -> list[str]:
    """Names that :func:`load_sampler` takes, sorted."""
    return sorted({*_OWN, *(each.name for each in entry_points(group=GROUP))})


def backbone_defaults(backbone: str) -> dict[str, Any]:
    """Settings of sampling that suit a backbone: those of the table, or the attribute ``defaults`` of a loader.

    Raises:
        InputError: there is no backbone of this name.
    """
    if backbone in _OWN:
        return dict(find(backbone).defaults)
    return dict(getattr(_entry(backbone).load(), "defaults", {}))


def load_sampler(backbone: str = "embedded", **options: Any) -> ViewSampler:
    """Load a backbone.

    Args:
        backbone: one of :func:`backbone_names`.
        options: keyword arguments of its loader: ``weights``, ``device``, ``dtype``, ``lora``, ``lora_scale``.

    Raises:
        InputError: no installed package has a backbone of this name.
    """
    if backbone in _OWN:
        place, fixed = _OWN[backbone]
        module, _, attribute = place.partition(":")
        loader: Any = import_module(module)
        for name in attribute.split("."):
            loader = getattr(loader, name)
        return loader(**options, **fixed)
    return _entry(backbone).load()(**options)


def _entry(backbone: str) -> EntryPoint:
    """Entry point of this name in an installed package."""
    found = {each.name: each for each in entry_points(group=GROUP)}
    if backbone not in found:
        raise InputError(f"There is no backbone '{backbone}': choose one of {', '.join(backbone_names())}.")
    return found[backbone]
