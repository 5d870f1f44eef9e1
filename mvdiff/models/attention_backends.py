"""Attention implementations by name, through diffusers' dispatch. Free of torch, so that ``--help`` stays fast."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from recon.core.errors import InputError

if TYPE_CHECKING:
    import torch
    from diffusers import ModelMixin

AttentionBackend = Literal["native", "xformers", "flash", "sage", "flex"]

#: Backend to the module that it needs, and how to install it.
_NEEDS = {
    "xformers": ("xformers", "pip install 'mvdiff[xformers]'"),
    "flash": ("flash_attn", "pip install flash-attn"),
    "sage": ("sageattention", "pip install sageattention"),
}


def set_attention_backend(transformer: "ModelMixin", name: str, device: "torch.device") -> None:
    """Set the attention implementation of every block.

    Args:
        transformer: the network, which will run on ``device``.
        name: one of :data:`AttentionBackend`, or another name of diffusers' ``AttentionBackendName``.

    Raises:
        InputError: the backend is unknown, its package is not installed or does not load, or it needs a GPU.
    """
    if name == "native":
        return
    check_attention_backend(name, device)
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    active, _ = Registry.get_active_backend()
    try:
        transformer.set_attention_backend(name)
    except (ValueError, RuntimeError, ImportError, OSError) as error:
        raise InputError(f"The attention backend '{name}' cannot be used ({error}): use native.") from error
    finally:
        Registry.set_active_backend(active)  # diffusers makes it that of all models of the process, too


def check_attention_backend(name: str, device: "torch.device") -> None:
    """Raise :class:`InputError` if the package of a backend is missing or the backend cannot run on ``device``."""
    module, remedy = _NEEDS.get(name, (None, ""))
    if module is not None and find_spec(module) is None:
        raise InputError(f"The attention backend '{name}' needs the package {module}: run `{remedy}`, or use native.")
    if module is not None and device.type != "cuda":
        raise InputError(f"The attention backend '{name}' runs on CUDA devices only, not on {device.type}: use native.")
