"""LoRA adapters of the multi-view transformer: one safetensors file each, loaded as diffusers' pipelines do.

Keys are ``transformer.<layer>.lora_A.weight`` and ``…lora_B.weight``; the header carries peft's settings and the hash
of the weights that the adapter was trained on, without which it is only noise.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LoraBaseMixin
from torch import Tensor

from mvdiff.models.transformer import MultiViewTransformer
from mvdiff.weights import packing
from recon.errors import InputError
from recon.io.bundle import atomic_write

LORA_FILE = "lora.safetensors"
_PREFIX = "transformer."
_PROVENANCE = "mvdiff"


class MultiViewLoraLoaderMixin(LoraBaseMixin):
    """``load_lora_weights``, ``save_lora_weights``, ``set_adapters``, ``fuse_lora`` … for the transformer."""

    _lora_loadable_modules: ClassVar = ["transformer"]

    def load_lora_weights(self, path: str | Path, adapter_name: str | None = None) -> None:
        """Add the adapter of a file (or of a folder with ``lora.safetensors``) to the transformer and activate it.

        Raises :class:`InputError` for a file that is no adapter, or one of other weights than the pipeline's.
        """
        path = lora_file(path)
        state, settings, provenance = read_lora(path)
        own, base = self.weights_hash(), provenance.get("base_sha256")
        if own is not None and base is not None and own != base:
            raise InputError(
                f"The LoRA '{path}' was trained on other weights ({provenance.get('base', 'unknown')}, sha256 "
                f"{base[:12]}…) than these (sha256 {own[:12]}…): load it together with those."
            )
        if adapter_name is None:
            taken = getattr(self.transformer, "peft_config", {})
            adapter_name = next(name for k in range(len(taken) + 1) if (name := f"default_{k}") not in taken)
        _check_fits(path, state, self.transformer)
        self.transformer.load_lora_adapter(state, prefix=None, adapter_name=adapter_name, metadata=settings)
        # Training code may ask for gradients; a loaded adapter is for use.
        self.transformer.requires_grad_(False)

    def save_lora_weights(self, path: str | Path, adapter_name: str = "default_0", **provenance: Any) -> Path:
        """Write one adapter; ``provenance`` (JSON values) goes into the file's header."""
        base = {"base": self.config.get("_name_or_path"), "base_sha256": self.weights_hash()}
        return write_lora(path, self.transformer, adapter_name, base | provenance)

    def fuse_lora(self, components: tuple[str, ...] = ("transformer",), **kwargs: Any) -> None:
        """Add the active adapters to the weights themselves, which makes sampling as fast as without."""
        super().fuse_lora(components=list(components), **kwargs)

    def unfuse_lora(self, components: tuple[str, ...] = ("transformer",), **kwargs: Any) -> None:
        super().unfuse_lora(components=list(components), **kwargs)

    def weights_hash(self) -> str | None:
        """Of the folder that the pipeline was loaded from; None for one that was made in memory."""
        name = self.config.get("_name_or_path")
        return packing.weights_hash(Path(name)) if name and Path(name).is_dir() else None


def lora_file(path: str | Path) -> Path:
    """The file itself where a folder is named."""
    return Path(path) / LORA_FILE if Path(path).is_dir() else Path(path)


def read_lora(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None, dict[str, Any]]:
    """Weights without the prefix, peft's settings and the provenance of an adapter's file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"There is no LoRA file '{path}': check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name.removeprefix(_PREFIX): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        settings = json.loads(metadata.get(LORA_ADAPTER_METADATA_KEY, "null"))
        provenance = json.loads(metadata.get(_PROVENANCE, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{path}' is no readable safetensors file ({error}): save the LoRA again.") from error
    if not state or not all(".lora_A." in name or ".lora_B." in name for name in state):
        raise InputError(f"'{path}' holds no LoRA of this transformer, but other weights: pass it as --weights.")
    return state, settings, provenance


def write_lora(
    path: str | Path, transformer: MultiViewTransformer, adapter_name: str, provenance: dict[str, Any]
) -> Path:
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    if adapter_name not in getattr(transformer, "peft_config", {}):
        raise InputError(f"The transformer has no adapter '{adapter_name}': load or train one first.")
    state = get_peft_model_state_dict(transformer, adapter_name=adapter_name)
    settings = {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in transformer.peft_config[adapter_name].to_dict().items()
    }
    metadata = {
        "format": "pt",
        LORA_ADAPTER_METADATA_KEY: json.dumps(settings, sort_keys=True, default=str),
        _PROVENANCE: json.dumps(provenance, sort_keys=True, default=str),
    }
    tensors = {_PREFIX + name: value.detach().float().cpu().contiguous() for name, value in state.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    return Path(path)


def _check_fits(path: Path, state: dict[str, Tensor], transformer: MultiViewTransformer) -> None:
    layers = {name: module for name, module in transformer.named_modules() if hasattr(module, "in_features")}
    for name, value in state.items():
        layer, _, which = name.removesuffix(".weight").rpartition(".")
        module = layers.get(layer)
        wanted = None if module is None else module.in_features if which == "lora_A" else module.out_features
        if wanted is None or value.shape[1 if which == "lora_A" else 0] != wanted:
            raise InputError(
                f"The LoRA '{path}' belongs to another architecture ({layer} is not of its shape here): "
                "load it together with the weights that it was trained on."
            )
