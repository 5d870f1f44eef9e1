"""pyproject.toml names what the code imports: no core dependency that nothing uses, no import that nothing brings."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: Module to the distribution that has it, where the names differ.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "pillow_heif": "pillow-heif",
    "fast_simplification": "fast-simplification",
    "pxr": "usd-core",
    "sse_starlette": "sse-starlette",
    "prometheus_client": "prometheus-client",
    "fastapi_offline": "fastapi-offline",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}
#: Modules that another dependency brings, or that cannot be had from PyPI.
BROUGHT = {"triton": "torch", "kaolin": None, "starlette": "fastapi", "pydantic": "fastapi"}
#: Scripts that run inside another program, or beside the tests.
ELSEWHERE = {"tools/batch_faults.py", "tools/blender_albedo.py", "tools/fuzz.py", "tools/kill_runs.py"}
#: The add-on, which runs in Blender's own Python.
IN_BLENDER = "mvdiff/integrations/blender/addon/"
#: Modules that are imported only where their extra is installed, so that their heads may need it.
NEED_EXTRA = {"mvdiff/serving/": "serve", "mvdiff/client.py": "client"}
#: Used by name only: as a tracker of accelerate, as the runtime of another extra's package, as a backend of diffusers.
BY_NAME = {"tensorboard", "wandb", "onnxruntime", "xformers", "python-multipart", "s3fs"}


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9._-]+", each).group().lower() for each in requirements}


CORE = names(PROJECT["dependencies"])
EXTRAS = {
    extra: names(each)
    for extra, each in PROJECT["optional-dependencies"].items()
    if extra not in ("dev", "docs", "app")
}


def imported(top_level: bool) -> dict[str, str]:
    """Third-party modules to a file that imports them: at the head of a module, or anywhere."""
    found = {}
    for folder in ("recon", "mvdiff", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = str(path.relative_to(ROOT))
            if place in ELSEWHERE or place.startswith(IN_BLENDER):
                continue
            tree = ast.parse(path.read_text("utf-8"))
            for node in tree.body if top_level else ast.walk(tree):
                modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                for module in modules:
                    found.setdefault(module.partition(".")[0], str(path.relative_to(ROOT)))
    own = {"recon", "mvdiff", *sys.stdlib_module_names}
    return {module: path for module, path in found.items() if module not in own}


def distribution(module: str) -> str:
    return DISTRIBUTIONS.get(module, module).lower()


def test_every_import_is_declared() -> None:
    known = CORE.union(*EXTRAS.values())
    strange = {m: p for m, p in imported(False).items() if distribution(m) not in known and m not in BROUGHT}
    assert not strange


def test_what_is_imported_at_the_head_of_a_module_is_core() -> None:
    optional = {m: p for m, p in imported(True).items() if BROUGHT.get(m, distribution(m)) not in CORE}
    for module, path in list(optional.items()):
        extra = next((extra for prefix, extra in NEED_EXTRA.items() if path.startswith(prefix)), None)
        if extra is not None and distribution(module) in EXTRAS[extra]:
            del optional[module]
    assert not optional


def test_every_core_dependency_is_imported() -> None:
    used = {distribution(module) for module in imported(False)}
    assert not CORE - used


def test_every_extra_is_used() -> None:
    used = {distribution(module) for module in imported(False)} | BY_NAME
    unused = {extra: each - used for extra, each in EXTRAS.items() if each - used}
    assert not unused


def test_info_lists_the_extras() -> None:
    from mvdiff.cli.info import EXTRAS as LISTED

    # kaolin is on NVIDIA's index alone, so that no extra can name it.
    assert set(LISTED) - {"kaolin"} <= set(EXTRAS)
    assert {"xformers", "wandb"} <= set(LISTED)
