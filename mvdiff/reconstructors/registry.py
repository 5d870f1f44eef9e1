"""Reconstructors by name."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from recon.core.errors import InputError
from recon.fusion.reconstructor import Reconstructor

_LOADERS = {"lrm": "mvdiff.reconstructors.lrm:LRMReconstructor.from_pretrained"}


def load_reconstructor(
    name: str = "fusion", weights: str | Path | None = None, device: torch.device | str = "cpu"
) -> Reconstructor | None:
    """Load a reconstructor; None stands for fusion.

    Args:
        name: "fusion" or "lrm".
        weights: folder of its weights.
        device: place of its network.

    Raises:
        InputError: the name is unknown, or the weights are missing, unwanted or of another model.
    """
    if name == "fusion":
        if weights is not None:
            raise InputError("Fusion has no weights: leave --reconstructor-weights out, or pass --reconstructor lrm.")
        return None
    if name not in _LOADERS:
        raise InputError(f"There is no reconstructor '{name}': choose one of fusion, {', '.join(_LOADERS)}.")
    module, _, attribute = _LOADERS[name].partition(":")
    loader: Any = import_module(module)
    for part in attribute.split("."):
        loader = getattr(loader, part)
    return loader(weights, device)
