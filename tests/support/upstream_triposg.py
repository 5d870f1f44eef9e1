"""TripoSG's own networks at a tiny size, imported from a checkout without its pipelines."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from seeded_weights import initialize_by_name

#: Sizes of the tiny networks, under the names of both implementations.
FLOW = {"num_attention_heads": 2, "width": 32, "in_channels": 6, "num_layers": 5, "cross_attention_dim": 24}
DECODER = {"latent_channels": 6, "num_attention_heads": 2, "width_decoder": 32, "num_layers_decoder": 2}


def upstream_triposg(folder: Path) -> SimpleNamespace:
    """Seeded ``flow`` and ``vae``, the ``scheduler``, and the ``classes`` of both networks."""
    for name in ("triposg", "triposg.models", "triposg.models.transformers", "triposg.models.autoencoders"):
        package = ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    flow = importlib.import_module("triposg.models.transformers.triposg_transformer").TripoSGDiTModel
    vae = importlib.import_module("triposg.models.autoencoders.autoencoder_kl_triposg").TripoSGVAEModel
    scheduler = importlib.import_module("triposg.schedulers.scheduling_rectified_flow").RectifiedFlowScheduler
    made = initialize_by_name(flow(**FLOW)).requires_grad_(False)
    coder = initialize_by_name(vae(width_encoder=16, num_layers_encoder=1, **DECODER)).requires_grad_(False)
    return SimpleNamespace(flow=made, vae=coder, scheduler=scheduler, classes=(flow, vae))


def noise(count: int) -> torch.Tensor:
    return torch.stack([torch.randn(9, 6, generator=torch.Generator().manual_seed(k)) for k in range(count)])
