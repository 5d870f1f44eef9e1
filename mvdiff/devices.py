"""Choice of device and precision."""

import torch

from recon.core.errors import InputError


def pick_device(name: str = "auto") -> torch.device:
    """Resolve a device name.

    Args:
        name: "auto" (CUDA where there is a device, else the CPU), "cpu", "cuda" or "cuda:N".

    Raises:
        InputError: the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"'{name}' is no device: use auto, cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"The device '{name}' is not supported: use auto, cpu or cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA device that this installation of torch can use: pass --device cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"There is no device {name}: this machine has {torch.cuda.device_count()} CUDA devices.")
    return device


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def dtype_of(precision: str) -> torch.dtype | None:
    """Precision by name: "fp32", "fp16" or "bf16"; None stands for "auto", the device's fast one."""
    return {"auto": None, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
