"""Folders of helpers' networks, checked before anything is built from them."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from mvdiff.devices import pick_device
from mvdiff.weights.folders import load_network, weight_files
from mvdiff.weights.manifest import read_manifest, verify
from recon.core.errors import InputError
from recon.core.paths import is_folder
from recon.core.reading import file_sha256


def load_helper(kind_name: str, folder: Path, device: str | torch.device = "cpu") -> Any:
    """Network of the class ``kind_name`` of transformers from a local folder.

    Raises:
        InputError: transformers is missing, or the folder is not one of this network; see
            :func:`mvdiff.weights.folders.load_network`. A manifest beside the weights is verified by SHA-256.
    """
    check_folder(folder)
    try:
        import transformers
    except ImportError as error:
        raise InputError(f"{kind_name} needs transformers: run `pip install 'mvdiff[helpers]'`.") from error
    return load_network(getattr(transformers, kind_name), folder).to(pick_device(str(device)))


def check_folder(folder: Path) -> None:
    """Raise :class:`InputError` where there is no folder, or its files differ from its manifest."""
    if not is_folder(folder):
        raise InputError(f"There is no folder of weights '{folder}': pass one with config.json and safetensors.")
    manifest = read_manifest(folder)
    if manifest is not None:
        verify(manifest, folder)


def weights_record(name: str, folder: Path) -> dict[str, Any]:
    """Name and digest of a helper's weights, for manifests of runs."""
    files = {path.name: file_sha256(path) for path in weight_files(folder)}
    return {"name": name, "files": files}


def weights_digest(folder: Path) -> str:
    """One SHA-256 for all files of a network."""
    return hashlib.sha256("".join(file_sha256(path) for path in weight_files(folder)).encode()).hexdigest()
