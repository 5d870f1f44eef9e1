"""LoRA adapters of the networks: one safetensors file each, loaded as diffusers' pipelines do.

Keys are ``transformer.<layer>.lora_A.weight`` and ``…lora_B.weight``, those of the camera estimator begin with
``camera_estimator.`` instead; a file may hold either network's or both. The header carries peft's settings, their
names with the same prefixes, and the hash of the weights that the adapter was trained on, without which it is only
noise.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LoraBaseMixin
from torch import Tensor, nn

from mvdiff.weights import packing
from recon.core.errors import InputError
from recon.core.paths import is_folder
from recon.core.reading import fit, parse_json, read_safetensors, reading
from recon.core.tensors import safetensors_bytes
from recon.io.folders import write_bytes

LORA_FILE = "lora.safetensors"
COMPONENTS = ("transformer", "camera_estimator")
_PROVENANCE = "mvdiff"
#: What keys of adapters have in other programs.
_FOREIGN = ("lora", "hada", "lokr", "loha", "dora", "ia3", "oft", "alpha", "diff")
_T = TypeVar("_T")


class MultiViewLoraLoaderMixin(LoraBaseMixin):
    """``load_lora_weights``, ``save_lora_weights``, ``set_adapters``, ``fuse_lora`` … for both networks."""

    _lora_loadable_modules: ClassVar = list(COMPONENTS)

    def load_lora_weights(self, path: str | Path, adapter_name: str | None = None) -> None:
        """Add the adapter of a file (or of a folder with ``lora.safetensors``) to its networks and activate it alone.

        Raises :class:`InputError` for a file that is no adapter, one of other weights than the pipeline's, or a name
        that is taken.
        """
        path = lora_file(path)
        state, settings, provenance = read_lora(path)
        own, base = self.weights_hash(), provenance.get("base_sha256")
        if own is not None and base is not None and own != base:
            raise InputError(
                f"The LoRA '{path}' was trained on other weights ({provenance.get('base', 'unknown')}, sha256 "
                f"{base[:12]}…) than these (sha256 {own[:12]}…): load it together with those."
            )
        taken = {name for names in self.get_list_adapters().values() for name in names}
        if adapter_name is None:
            adapter_name = next(name for k in range(len(taken) + 1) if (name := f"default_{k}") not in taken)
        if adapter_name in taken:
            raise InputError(f"There is an adapter '{adapter_name}' already: delete it first, or choose another name.")
        for component, values in state.items():
            _check_fits(path, component, values, getattr(self, component))
        for component, values in state.items():
            network = getattr(self, component)
            with reading(path, "LoRA file", "save the LoRA again"):
                own = settings.get(component)
                network.load_lora_adapter(values, prefix=None, adapter_name=adapter_name, metadata=own)
        # In both networks, also in the one that this adapter leaves as it is: another may still be active there.
        self.set_adapters(adapter_name)
        # Training code may ask for gradients; a loaded adapter is for use.
        for component in COMPONENTS:
            getattr(self, component).requires_grad_(False)

    def save_lora_weights(self, path: str | Path, adapter_name: str = "default_0", **provenance: Any) -> Path:
        """Write one adapter; ``provenance`` (JSON values) goes into the file's header."""
        base = {"base": self.config.get("_name_or_path"), "base_sha256": self.weights_hash()}
        return write_lora(path, adapted_networks(self, adapter_name), adapter_name, base | provenance)

    def fuse_lora(self, components: Sequence[str] = COMPONENTS, **kwargs: Any) -> None:
        """Add the active adapters to the weights themselves, which makes sampling as fast as without."""
        super().fuse_lora(components=list(components), **kwargs)

    def unfuse_lora(self, components: Sequence[str] = COMPONENTS, **kwargs: Any) -> None:
        super().unfuse_lora(components=list(components), **kwargs)

    def weights_hash(self) -> str | None:
        """Hash of the folder that the pipeline was loaded from; None if it was built in memory."""
        name = self.config.get("_name_or_path")
        return packing.weights_hash(Path(name)) if name and is_folder(Path(name)) else None


def lora_file(path: str | Path) -> Path:
    """The file itself where a folder is named."""
    return Path(path) / LORA_FILE if is_folder(Path(path)) else Path(path)


def read_lora(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Any]], dict[str, Any]]:
    """Weights and peft's settings of an adapter's file, each by component, and its provenance."""
    with reading(path, "LoRA file", "save the LoRA again"):
        state, metadata = read_safetensors(path)
        _check_layout(path, state)
        settings = _by_component(parse_json(metadata.get(LORA_ADAPTER_METADATA_KEY, "{}"), dict[str, Any]))
        settings = {name: msgspec.to_builtins(fit(own, _Settings)) for name, own in settings.items()}
        provenance = parse_json(metadata.get(_PROVENANCE, "{}"), dict[str, Any])
        fit(provenance, _Provenance)
        return _by_component(state), settings, provenance


class _Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The settings of peft that an adapter's file may make; others would import or initialize things."""

    r: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    lora_alpha: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
    target_modules: list[str]
    use_rslora: bool = False
    lora_bias: Literal[False] = False
    use_dora: Literal[False] = False
    bias: Literal["none"] = "none"
    rank_pattern: dict[str, Annotated[int, msgspec.Meta(ge=1, le=4096)]] = {}
    alpha_pattern: dict[str, float] = {}


class _Provenance(msgspec.Struct, frozen=True):
    base: str | None = None
    base_sha256: str | None = None


def _check_layout(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse what holds no LoRA, one of another layout, half of one, or numbers that are none."""
    odd = next((name for name in state if not name.endswith((".lora_A.weight", ".lora_B.weight"))), None)
    if not state or (odd and not any(mark in odd.lower() for mark in _FOREIGN)):
        raise InputError(f"'{path}' holds no LoRA but other weights: give a folder of weights as --weights instead.")
    if odd:
        raise InputError(
            f"'{path}' is a LoRA of another program or model (it names '{odd}'): give one that was trained on these "
            "weights, with keys such as transformer.….lora_A.weight."
        )
    flat = next((name for name, value in state.items() if value.ndim != 2 or not value.numel()), None)
    if flat:
        raise InputError(f"The LoRA '{path}' is damaged: {flat} is no matrix. Save it again.")
    for name, value in state.items():
        layer, which = name.rsplit(".", 2)[:2]
        twin = f"{layer}.{'lora_B' if which == 'lora_A' else 'lora_A'}.weight"
        if twin not in state:
            raise InputError(f"The LoRA '{path}' has {name} but not {twin}: save it again, or train it anew.")
        if which == "lora_A" and value.shape[0] != state[twin].shape[1]:
            raise InputError(f"The LoRA '{path}' is damaged: {name} and {twin} are of different ranks. Save it again.")
        if not torch.isfinite(value).all():
            raise InputError(f"The LoRA '{path}' holds NaN or infinity ({name}): its training diverged, train it anew.")


def write_lora(
    path: str | Path, networks: Mapping[str, nn.Module], adapter_name: str, provenance: dict[str, Any]
) -> Path:
    """One file of the adapters that ``networks`` have by that name; see :func:`adapted_networks`."""
    from peft.utils import get_peft_model_state_dict

    if not networks:
        raise InputError(f"There is no adapter '{adapter_name}': load or train one first.")
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for component, network in networks.items():
        for name, value in get_peft_model_state_dict(network, adapter_name=adapter_name).items():
            tensors[f"{component}.{name}"] = value.detach().float().cpu().contiguous()
        for name, value in network.peft_config[adapter_name].to_dict().items():
            settings[f"{component}.{name}"] = sorted(value) if isinstance(value, set) else value
    metadata = {
        "format": "pt",
        LORA_ADAPTER_METADATA_KEY: json.dumps(settings, sort_keys=True, default=str),
        _PROVENANCE: json.dumps(provenance, sort_keys=True, default=str),
    }
    return write_bytes(path, safetensors_bytes(tensors, metadata))


def adapted_networks(owner: Any, adapter_name: str) -> dict[str, nn.Module]:
    """Those of a pipeline, or of whatever else has both, that have such an adapter."""
    networks = {name: getattr(owner, name) for name in COMPONENTS}
    return {name: value for name, value in networks.items() if adapter_name in getattr(value, "peft_config", {})}


def _by_component(values: Mapping[str, _T]) -> dict[str, dict[str, _T]]:
    """Group settings by component; keys of earlier versions name none and belong to the transformer."""
    parts: dict[str, dict[str, _T]] = {component: {} for component in COMPONENTS}
    for key, value in values.items():
        component, _, name = key.partition(".")
        component, name = (component, name) if component in COMPONENTS else ("transformer", key)
        parts[component][name] = value
    return {component: own for component, own in parts.items() if own}


def _check_fits(path: Path, component: str, state: dict[str, Tensor], network: nn.Module) -> None:
    layers = {name: module for name, module in network.named_modules() if hasattr(module, "in_features")}
    for name, value in state.items():
        layer, _, which = name.removesuffix(".weight").rpartition(".")
        module = layers.get(layer)
        wanted = None if module is None else module.in_features if which == "lora_A" else module.out_features
        if wanted is None or value.shape[1 if which == "lora_A" else 0] != wanted:
            raise InputError(
                f"The LoRA '{path}' belongs to another architecture ({component}.{layer} is not of its shape here): "
                "load it together with the weights that it was trained on."
            )
