"""Native-3D sources of shapes by name, in frames of their own; :mod:`.registered_shapes` makes backbones of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.sampling.shape_sampler import ShapeSampler

_OWN = {
    "trellis-coarse": ("mvdiff.backbones.trellis_coarse", "TrellisCoarse"),
    "triposg": ("mvdiff.backbones.triposg", "TripoSG"),
}


def load_shape_sampler(backbone: str, **options: Any) -> "ShapeSampler":
    """Load a source of shapes.

    Args:
        backbone: "trellis-coarse" or "triposg".
        options: keyword arguments of its loader: ``weights``, ``device``, ``dtype``.

    Raises:
        InputError: there is none of this name, or its weights cannot be used.
    """
    if backbone not in _OWN:
        raise InputError(f"There is no source of shapes '{backbone}': choose one of {', '.join(_OWN)}.")
    module, name = _OWN[backbone]
    return getattr(import_module(module), name).from_pretrained(**options)
