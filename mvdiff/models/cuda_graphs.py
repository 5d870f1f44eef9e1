"""CUDA graphs of a network's forward pass, kept from call to call."""

import threading
from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from recon.ops.cuda_graphs import CapturedGraph

#: The newest graph of each module, with the key of everything that it depends on.
_kept: "WeakKeyDictionary[nn.Module, tuple[Hashable, CapturedGraph]]" = WeakKeyDictionary()
_capturing = threading.Lock()


def recorded(module: nn.Module, function: Callable[..., Tensor], *inputs: Tensor) -> CapturedGraph:
    """Capture ``function``, which depends on ``inputs`` and ``module`` alone, or reuse the graph of an earlier call.

    A graph is reused if shapes, parameters, attention backends and precision match; capturing one costs more than two
    passes. Active adapters bypass the cache, because switching them does not change the parameters.
    """
    if getattr(module, "peft_config", None):
        return CapturedGraph(function, *inputs)
    weights = tuple(value.data_ptr() for value in (*module.parameters(), *module.buffers()))
    backends = tuple(getattr(part, "_attention_backend", None) for part in module.modules())
    precision = (
        torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cuda"),
        torch.get_float32_matmul_precision(),
    )
    shapes = tuple((value.shape, value.dtype) for value in inputs)
    key = (function.__qualname__, weights, backends, precision, shapes)
    with _capturing:
        kept = _kept.get(module)
        if kept is None or kept[0] != key:
            _kept.pop(module, None)  # its memory goes before the new one takes its own
            kept = _kept[module] = key, CapturedGraph(function, *inputs)
        return kept[1]


def recordable(module: nn.Module) -> bool:
    """Whether a pass can be captured: it runs on CUDA, no hook moves weights, and nothing else captures or compiles."""
    if next(module.parameters()).device.type != "cuda":
        return False
    hooked = any(hasattr(part, hook) for part in module.modules() for hook in ("_hf_hook", "_diffusers_hook"))
    compiled = any(part._compiled_call_impl is not None for part in module.modules())
    return not hooked and not compiled and not isinstance(module, torch._dynamo.OptimizedModule)
