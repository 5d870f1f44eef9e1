"""Golden tensors: outputs of upstream implementations for seeded weights, kept so that CI needs no upstream."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

#: Set to 1 to write the golden files anew from the upstream checkout instead of comparing with them.
WRITE = "MVDIFF_WRITE_GOLDEN"
_LARGEST = 100_000


@dataclass(frozen=True)
class Golden:
    """One file of golden tensors."""

    path: Path

    def hold(self, found: dict[str, Tensor], commit: str) -> None:
        """Compare what upstream gives at ``commit`` with the file, or write the file if ``MVDIFF_WRITE_GOLDEN=1``."""
        if os.environ.get(WRITE) == "1":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            tensors = {name: value.detach().float().contiguous() for name, value in found.items()}
            save_file(tensors, self.path, metadata={"upstream_commit": commit})
            assert self.path.stat().st_size <= _LARGEST, f"{self.path} is larger than {_LARGEST} bytes"
            return
        kept = self.load()
        assert self.commit == commit, f"the golden file is of {self.commit}, the checkout of {commit}"
        assert kept.keys() == found.keys()
        for name, value in kept.items():
            torch.testing.assert_close(
                found[name].float(), value, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
            )

    @property
    def commit(self) -> str:
        """Commit of the upstream repository that the tensors were made with."""
        with safe_open(self.path, "pt") as opened:
            return opened.metadata()["upstream_commit"]

    def load(self) -> dict[str, Tensor]:
        with safe_open(self.path, "pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no dictionary


def assert_close_to_golden(found: dict[str, Tensor], kept: dict[str, Tensor]) -> None:
    """Compare ours with golden tensors within 1e-5; ``samples``, the end of several steps, within 1e-4."""
    assert found.keys() == kept.keys()
    for name, value in found.items():
        close = 1e-4 if name == "samples" else 1e-5
        torch.testing.assert_close(value, kept[name], atol=close, rtol=close, msg=lambda m, n=name: f"{n}: {m}")
