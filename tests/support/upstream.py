"""Checkouts of upstream repositories: ``$MVDIFF_UPSTREAM/NAME``, one folder a repository, never part of this one."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest


def checkout(name: str) -> Path:
    """Folder of an upstream repository; the test is skipped where there is none."""
    root = os.environ.get("MVDIFF_UPSTREAM")
    if not root:
        pytest.skip("MVDIFF_UPSTREAM is not set: golden tensors stand in for the upstream code")
    folder = Path(root) / name
    if not folder.is_dir():
        pytest.skip(f"MVDIFF_UPSTREAM has no checkout '{name}'")
    return folder


def commit_of(folder: Path) -> str:
    """Commit of a checkout: the content of its file COMMIT, or what git says."""
    if (folder / "COMMIT").is_file():
        return (folder / "COMMIT").read_text().strip()
    return subprocess.run(
        ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


class _Stub(type):
    """Type of classes whose missing attributes are such classes again."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stub(name)


def _stub(name: str) -> type:
    """A class or function that takes anything and does nothing."""

    def init(self: Any, *_: Any, **__: Any) -> None:
        pass

    def call(self: Any, *given: Any, **_: Any) -> Any:
        return given[0] if given else None

    return _Stub(name, (), {"__init__": init, "__call__": call})


class _Anything(ModuleType):
    """Module whose attributes take anything and do nothing."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _stub(name)


@contextmanager
def stubbed(*names: str) -> Iterator[None]:
    """Let imports of packages that are not installed, and are not needed for tensors, succeed for a while."""
    missing = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _Anything(name) for name in missing})
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)


def load_file(path: Path, name: str | None = None) -> ModuleType:
    """Import one file of a checkout by its path."""
    spec = importlib.util.spec_from_file_location(name or path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
