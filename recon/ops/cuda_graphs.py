"""Kernels recorded once and replayed: launching small ones takes longer than they do."""

from collections.abc import Callable

import torch
from torch import Tensor


class RecordedPass:
    """``function`` of tensors on a CUDA device as one graph. What it reads beside them must stay where it is."""

    def __init__(self, function: Callable[..., Tensor], *inputs: Tensor) -> None:
        """``inputs`` show the shapes."""
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
        for own, value in zip(self._inputs, inputs, strict=True):
            own.copy_(value)
        self._graph.replay()
        return self._output.clone()  # the next call overwrites it
