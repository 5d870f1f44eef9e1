"""The options of verbs that serve jobs."""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.models.attention_backends import AttentionBackend
from mvdiff.serving.config import Address, Extras, Limits, ServerConfig
from recon.core.errors import InputError

#: Packages of the extra ``serve`` that the server itself imports.
_PACKAGES = ("fastapi", "uvicorn", "sse_starlette", "multipart", "prometheus_client", "fastapi_offline")


@dataclass(frozen=True)
class ServerOptions:
    """Model, limits and address of a server."""

    output_dir: Path = Path("runs")
    """Folder of the runs, one subfolder each; jobs and uploads are kept in its subfolder .studio."""
    device: tuple[str, ...] = ("auto",)
    """Devices to run on (auto, cpu, cuda, cuda:N), each with a worker process of its own."""
    weights: Annotated[str, tyro.conf.arg(metavar="{embedded}|FOLDER")] = "embedded"
    """Weights to load: "embedded" (in this package), or a folder."""
    lora: Path | None = None
    """LoRA adapter to fuse into the weights; it must have been trained on them."""
    lora_scale: float = 1.0
    """Strength of the LoRA adapter; a lower one forgets less about other objects."""
    attention_backend: AttentionBackend = "native"
    """Attention implementation: PyTorch's (native, flex), or that of a package which must be installed."""
    extras: Annotated[Extras, tyro.conf.OmitArgPrefixes] = field(default_factory=Extras)
    """Further weights."""
    limits: Annotated[Limits, tyro.conf.OmitArgPrefixes] = field(default_factory=Limits)
    """Limits of requests."""
    address: Annotated[Address, tyro.conf.OmitArgPrefixes] = field(default_factory=Address)

    def config(self, pages: bool) -> ServerConfig:
        """Settings for the server."""
        check_installed(_PACKAGES)
        model: dict[str, object] = {
            "weights": self.weights,
            "lora": None if self.lora is None else str(self.lora),
            "lora_scale": self.lora_scale,
            "attention_backend": self.attention_backend,
        }
        return ServerConfig(self.output_dir, model, self.extras, self.device, self.limits, self.address, pages)


def check_installed(packages: tuple[str, ...]) -> None:
    """Raise :class:`InputError` where the extra that brings ``packages`` is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"The server needs {', '.join(missing)}: pip install 'mvdiff[serve]'.")
