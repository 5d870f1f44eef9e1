"""On what the numbers were made."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recon.core.paths import is_file


def device_name(device: Any) -> str:
    """Name of a torch device: the model of the GPU or of the processor."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", errors="replace").splitlines() if is_file(info) else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    import torch

    import mvdiff

    return {"mvdiff": mvdiff.__version__, "torch": torch.__version__, "python": platform.python_version()}


def provenance(command: str, model: Any) -> dict[str, Any]:
    """The head of every file of results: what was asked of which model (an ``ImageTo3D``), where."""
    return {
        "command": command,
        "weights": model.weights,
        "device": device_name(model.device),
        "versions": versions(),
    }


def config_to_json(config: Any) -> dict[str, Any]:
    """Settings (a dataclass) as the file of the results gives them back."""
    return json.loads(json.dumps(asdict(config), default=str))
