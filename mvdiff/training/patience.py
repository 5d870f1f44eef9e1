"""Early stopping: how long to wait for a better validation, and the weights of the best one."""

from pathlib import Path
from typing import Any

from torch import nn

from mvdiff.training.checkpoint import load_trained_state, save_tensors, trained_state
from recon.core.paths import is_file
from recon.core.reading import read_safetensors, reading
from recon.io.folders import atomic_write

_BEST = "best.safetensors"


class Patience:
    """``limit`` validations without a better value are enough; 0 waits for ever and keeps nothing."""

    def __init__(self, limit: int, folder: Path) -> None:
        self.limit, self.path = limit, folder / _BEST
        self.best, self.best_step, self.worse = float("inf"), 0, 0

    def spent(self, value: float, step: int, module: nn.Module) -> bool:
        """Take note of a validation of ``module``; whether it was one too many."""
        if not self.limit:
            return False
        if value < self.best:
            self.best, self.best_step, self.worse = value, step, 0
            with atomic_write(self.path) as temporary:
                save_tensors(trained_state(module), temporary)
        else:
            self.worse += 1
        return self.worse >= self.limit

    def restore(self, module: nn.Module) -> None:
        """The weights of the best validation, where they were kept."""
        if self.limit and is_file(self.path) and self.best_step:
            with reading(self.path, "file of weights", "train again from the last checkpoint"):
                load_trained_state(module, read_safetensors(self.path)[0])

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step, "worse": self.worse} if self.best_step else {}

    def load(self, state: dict[str, Any]) -> None:
        self.best, self.best_step = state.get("best", float("inf")), state.get("best_step", 0)
        self.worse = state.get("worse", 0)
