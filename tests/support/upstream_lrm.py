"""InstantMesh's own networks at a tiny size, imported from a checkout."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from seeded_weights import initialize_by_name
from torch import Tensor, nn
from upstream import stubbed

#: Sizes of the tiny network; heads are 16 wide.
TINY = {"width": 48, "depth": 2, "side": 4, "channels": 5, "hidden": 16, "decoder_depth": 4, "head_width": 16}
TINY_ENCODER = {"encoder_width": 32, "encoder_depth": 2, "encoder_hidden": 64, "patch": 8, "positions": 4}


def _shim_transformers() -> None:
    """Names that transformers has dropped since; nothing here calls them."""
    import transformers.modeling_utils
    import transformers.pytorch_utils

    for name in ("find_pruneable_heads_and_indices", "prune_linear_layer"):
        if not hasattr(transformers.pytorch_utils, name):
            setattr(transformers.pytorch_utils, name, None)
    if not hasattr(transformers.modeling_utils.PreTrainedModel, "get_head_mask"):
        transformers.modeling_utils.PreTrainedModel.get_head_mask = lambda self, mask, depth: [None] * depth


class _Normalized(dict):
    def to(self, target: Any) -> "_Normalized":
        return _Normalized({name: value.to(target) for name, value in self.items()})


def _processor(images: Tensor, **_: Any) -> _Normalized:
    """What ViTImageProcessor does without resizing and rescaling, which needs torchvision."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return _Normalized(pixel_values=(images - mean[:, None, None]) / deviation[:, None, None])


def upstream_lrm(folder: Path) -> SimpleNamespace:
    """Seeded upstream networks: ``encoder``, ``transformer``, ``synthesizer``, ``cameras`` and the ``state`` of all."""
    _shim_transformers()
    sys.path.insert(0, str(folder))
    try:
        with stubbed("nvdiffrast", "nvdiffrast.torch"):
            from src.models.decoder.transformer import TriplaneTransformer
            from src.models.encoder.dino import ViTModel
            from src.models.encoder.dino_wrapper import DinoWrapper
            from src.models.renderer.synthesizer_mesh import TriplaneSynthesizer
            from src.utils.camera_util import get_zero123plus_input_cameras
    finally:
        sys.path.remove(str(folder))
    from transformers import ViTConfig

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    encoder = DinoWrapper.__new__(DinoWrapper)
    nn.Module.__init__(encoder)
    encoder.model, encoder.processor = ViTModel(config, add_pooling_layer=False), _processor
    encoder.camera_embedder = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 32))
    whole = nn.ModuleDict(
        {
            "encoder": encoder,
            "transformer": TriplaneTransformer(48, 32, 4, 8, 5, num_layers=2, num_heads=3),
            "synthesizer": TriplaneSynthesizer(5, 8),
        }
    )
    whole["synthesizer"].decoder = type(whole["synthesizer"].decoder)(5, hidden_dim=16)
    initialize_by_name(whole)

    def full_size() -> dict[str, Tensor]:
        """State of the large model without its values."""
        with torch.device("meta"):
            vit = nn.Module()
            vit.model = ViTModel(ViTConfig(), add_pooling_layer=False)
            vit.camera_embedder = nn.Sequential(nn.Linear(16, 768), nn.SiLU(), nn.Linear(768, 768))
            planes = TriplaneTransformer(1024, 768, 32, 64, 80, num_layers=16, num_heads=16)
            parts = {"encoder": vit, "transformer": planes, "synthesizer": TriplaneSynthesizer(80, 128)}
            return nn.ModuleDict(parts).state_dict()

    return SimpleNamespace(
        cameras=get_zero123plus_input_cameras, state=whole.state_dict(), full_size=full_size, **whole
    )
