"""TRELLIS' own first stage at a tiny size, imported from a checkout without its package's heavy imports."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from seeded_weights import initialize_by_name

#: Sizes of the tiny networks.
FLOW = {"resolution": 4, "in_channels": 3, "model_channels": 32, "cond_channels": 24, "num_blocks": 2, "num_heads": 2}
DECODER = {"latent_channels": 3, "num_res_blocks": 1, "channels": [16, 8, 6], "num_res_blocks_middle": 1}


class _Easy(dict):
    """Dictionary with attributes, as the package easydict has it."""

    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__


def upstream_trellis(folder: Path) -> SimpleNamespace:
    """Seeded ``flow`` and ``decoder``, and the ``sampler``."""
    os.environ["ATTN_BACKEND"] = "sdpa"
    easydict = ModuleType("easydict")
    easydict.EasyDict = _Easy
    sys.modules.setdefault("easydict", easydict)
    for name in ("trellis", "trellis.models", "trellis.pipelines"):  # their __init__ files need CUDA packages
        package = ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    flow = importlib.import_module("trellis.models.sparse_structure_flow")
    vae = importlib.import_module("trellis.models.sparse_structure_vae")
    samplers = importlib.import_module("trellis.pipelines.samplers")
    made = flow.SparseStructureFlowModel(**FLOW, out_channels=3, patch_size=1, qk_rms_norm=True)
    positions = made.pos_emb.clone()
    initialize_by_name(made)
    made.pos_emb.copy_(positions)
    decoder = initialize_by_name(vae.SparseStructureDecoder(out_channels=1, **DECODER))
    sampler = samplers.FlowEulerGuidanceIntervalSampler(sigma_min=1e-5)
    classes = {each.__name__: each for each in (flow.SparseStructureFlowModel, vae.SparseStructureDecoder)}
    for module in (made, decoder):
        module.requires_grad_(False)
    return SimpleNamespace(flow=made, decoder=decoder, sampler=sampler, classes=classes)


def noise(count: int) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(k) for k in range(count)]
    return torch.stack([torch.randn(3, 4, 4, 4, generator=each) for each in generators])
