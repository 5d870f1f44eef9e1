"""CUDA graph capture for launch-bound functions."""

import threading
from collections.abc import Callable

import torch
from torch import Tensor


class CapturedGraph:
    """A function of CUDA tensors, captured as one graph and replayed.

    Tensors that it reads beside its arguments must stay where they are. Threads that share it take turns.
    """

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        """Capture ``function`` at the shapes of ``inputs``."""
        self._turn = threading.Lock()
        device = inputs[0].device
        self._inputs = [value.clone() for value in inputs]
        with torch.cuda.device(device):
            beside, here = torch.cuda.Stream(), torch.cuda.current_stream()
            beside.wait_stream(here)
            with torch.cuda.stream(beside):  # libraries choose their kernels and take their memory before the recording
                function(*self._inputs)
            here.wait_stream(beside)
            self._graph = torch.cuda.CUDAGraph()
            # Of this thread alone: others may allocate meanwhile.
            with torch.cuda.graph(self._graph, stream=beside, capture_error_mode="thread_local"):
                self._output = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        with self._turn:
            for own, value in zip(self._inputs, inputs, strict=True):
                own.copy_(value)
            self._graph.replay()
            return self._output.clone()  # the next call overwrites it
