"""ComfyUI around the nodes: its output folder, progress bar and stop button.

Its modules are used where it has loaded them; without it, results go to ``output`` in the current folder.
"""

import functools
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from recon.core.errors import InputError

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: Heading under which the nodes stand in the menu.
CATEGORY = "3d/mvdiff"


def output_directory() -> Path:
    """Folder below which results are written."""
    folder_paths = sys.modules.get("folder_paths")
    return Path(folder_paths.get_output_directory()) if folder_paths else Path("output")


def numbered(prefix: str, suffix: str = "") -> Path:
    """The first free path ``prefix_00001suffix`` below the output folder.

    Raises:
        InputError: ``prefix`` is empty or leads out of the output folder.
    """
    root = output_directory().resolve()
    stem = (root / prefix).resolve()
    if stem == root or not stem.is_relative_to(root) or prefix.endswith(("/", "\\")):
        raise InputError(f"The prefix '{prefix}' names no file below the output folder: use one such as mvdiff/run.")
    paths = (stem.with_name(f"{stem.name}_{number:05}{suffix}") for number in count(1))
    return next(path for path in paths if not path.exists())


def relative(path: Path) -> str:
    """``path`` as ComfyUI's 3D nodes take it: below the output folder, with forward slashes."""
    return path.resolve().relative_to(output_directory().resolve()).as_posix()


def report(stage: str, done: int, total: int) -> None:
    """Show progress on the running node; raises ComfyUI's exception where the user has stopped the workflow."""
    management, utils = sys.modules.get("comfy.model_management"), sys.modules.get("comfy.utils")
    if management is not None and utils is not None:
        management.throw_exception_if_processing_interrupted()
        utils.ProgressBar(total).update_absolute(done, total)


@contextmanager
def new_folder(prefix: str) -> Iterator[Path]:
    """A new numbered folder, which is removed where the block fails."""
    path = numbered(prefix)
    try:
        yield path
    except BaseException:  # also ComfyUI's stop
        shutil.rmtree(path, ignore_errors=True)
        raise


def with_gradients(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run ``function`` outside of ComfyUI's inference mode, whose tensors cannot be fitted to views."""

    @functools.wraps(function)
    def outside(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with torch.inference_mode(False), torch.enable_grad():
            return function(*args, **kwargs)

    return outside
