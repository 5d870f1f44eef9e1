"""LoRA adapters of a diffusers UNet (Hu et al. 2021), in the names of diffusers, of peft or of kohya's scripts."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mvdiff.pipelines.lora_loader import lora_file
from recon.core.errors import InputError
from recon.core.reading import file_sha256, read_safetensors, reading

_ENTRY = re.compile(r"unet\.(.+?)\.(?:processor\.)?(lora\.down|lora\.up|lora_A|lora_B)\.weight")


@dataclass(frozen=True)
class Lora:
    """Tensors of one adapter and the strength at which it is fused."""

    path: Path
    scale: float
    tensors: dict[str, Tensor]

    @staticmethod
    def read(path: str | Path, scale: float = 1.0) -> "Lora":
        """Read a file, or a folder with ``lora.safetensors``. Raises :class:`InputError` for any other."""
        if not 0 < scale < math.inf:
            raise InputError(f"The scale of a LoRA is a positive number, not {scale}.")
        found = lora_file(path)
        with reading(found, "LoRA file", "pass another --lora"):
            return Lora(found, scale, read_safetensors(found)[0])

    def record(self) -> dict[str, Any]:
        """Entries of the record of a model's weights."""
        return {"lora": str(self.path), "lora_sha256": file_sha256(self.path), "lora_scale": self.scale}

    def fuse_into(self, unet: Any) -> None:
        """Add the adapter to the weights of ``unet`` themselves.

        Raises:
            InputError: it is of another network, or it trains more than the UNet; what does not fit is named.
        """
        state, alphas = self._of_diffusers(unet)
        self._check(unet, state)
        with reading(self.path, "LoRA file", "pass another --lora"):
            unet.load_lora_adapter(state, prefix="unet", network_alphas=alphas, adapter_name="fused")
            unet.fuse_lora(lora_scale=self.scale)
        unet.unload_lora()
        unet.requires_grad_(False)

    def _of_diffusers(self, unet: Any) -> tuple[dict[str, Tensor], dict[str, float] | None]:
        from diffusers.loaders import StableDiffusionLoraLoaderMixin, StableDiffusionXLLoraLoaderMixin

        wide = getattr(unet.config, "addition_embed_type", None) == "text_time"
        kind: Any = StableDiffusionXLLoraLoaderMixin if wide else StableDiffusionLoraLoaderMixin
        tensors = {name: value.to(torch.float32) for name, value in self.tensors.items()}
        with reading(self.path, "LoRA of a diffusers UNet", "pass another --lora"):
            found = kind.lora_state_dict(tensors, unet_config=unet.config)
        return found[0], found[1]

    def _check(self, unet: Any, state: dict[str, Tensor]) -> None:
        modules, wrong = dict(unet.named_modules()), []
        for name, value in state.items():
            entry = _ENTRY.fullmatch(name)
            layer = None if entry is None else getattr(modules.get(entry[1]), "weight", None)
            if entry is None or layer is None:
                wrong.append(name)
                continue
            axis = 1 if entry[2] in ("lora.down", "lora_A") else 0
            if value.shape[axis] != layer.shape[axis]:
                wrong.append(f"{name} {list(value.shape)}")
        if wrong or not state:
            said = ", ".join(sorted(wrong)) if wrong else "it has no entry of a UNet"
            raise InputError(f"The LoRA '{self.path}' does not fit this UNet ({said}): pass one that was made for it.")
