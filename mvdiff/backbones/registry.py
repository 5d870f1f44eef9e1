"""Backbones by name: those of this package, and those that installed packages add.

A package adds one under the entry-point group ``mvdiff.backbones``: a callable that takes the keyword arguments of
:func:`load_sampler` and returns a :class:`~mvdiff.sampling.sampler.ViewSampler`.
"""

import inspect
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mvdiff.backbones.catalog import find
from mvdiff.sampling.sampler import ViewSampler
from recon.core.errors import InputError

GROUP = "mvdiff.backbones"
#: Options that every loader takes.
_COMMON = ("weights", "device", "dtype")
#: Backbones that register what they draw to the photo.
REGISTERING = ("mv-adapter", "triposg", "trellis-coarse")
#: Options of loaders whose flags have other names.
_FLAGS = {"painter": "paint"}

_SHAPES = "mvdiff.backbones.registered_shapes:RegisteredShapes.from_pretrained"
_ZERO123 = "mvdiff.backbones.zero123plus:Zero123PlusSampler.from_pretrained"
#: Name to its loader and the arguments that stand for the name.
_OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "embedded": ("mvdiff.backbones.embedded:EmbeddedSampler.from_pretrained", {}),
    "zero123plus": (_ZERO123, {"name": "zero123plus"}),
    "zero123plus-white": (_ZERO123, {"name": "zero123plus-white"}),
    "mv-adapter": ("mvdiff.backbones.mv_adapter:MVAdapterSampler.from_pretrained", {}),
    "triposg": (_SHAPES, {"name": "triposg"}),
    "trellis-coarse": (_SHAPES, {"name": "trellis-coarse"}),
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
        options: keyword arguments of its loader. ``weights``, ``device`` and ``dtype`` suit every backbone; of the
            others those that are None are left out, and those that it does not take are refused.

    Raises:
        InputError: no installed package has a backbone of this name, or it takes no such option.
    """
    loader, fixed = _loader(backbone)
    given = {name: value for name, value in options.items() if value is not None or name in _COMMON}
    taken = inspect.signature(loader).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        idle = [name for name in given if name not in taken]
        if idle:
            flags = ", ".join(f"--{_FLAGS.get(name, name).replace('_', '-')}" for name in idle)
            raise InputError(f"The backbone {backbone} has no such option: leave out {flags}.")
    return loader(**given, **fixed)


def _loader(backbone: str) -> tuple[Any, dict[str, Any]]:
    """Loader of a backbone, and the arguments that stand for its name."""
    if backbone not in _OWN:
        return _entry(backbone).load(), {}
    place, fixed = _OWN[backbone]
    module, _, attribute = place.partition(":")
    loader: Any = import_module(module)
    for name in attribute.split("."):
        loader = getattr(loader, name)
    return loader, fixed


def _entry(backbone: str) -> EntryPoint:
    """Entry point of this name in an installed package."""
    found = {each.name: each for each in entry_points(group=GROUP)}
    if backbone not in found:
        raise InputError(f"There is no backbone '{backbone}': choose one of {', '.join(backbone_names())}.")
    return found[backbone]
