"""The architecture as a test: which folder may import which, and no circles between modules.

A folder may import those that stand above it in its list, and its own modules. Imports inside functions count, too;
those for type checkers alone do not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Bottom first. Folders of one line do not import each other.
RECON = [
    ["core.errors", "core.conventions", "ops.stopwatch", "ops.ragged", "ops.windows", "ops.cuda_graphs"],
    ["ops.parallel"],
    ["core"],
    ["ops"],
    ["fields", "metrics"],
    ["rendering"],
    ["registration"],
    ["fusion"],
    ["surface"],
    ["io"],
    ["objects", "scenes"],
    ["posterior"],
    ["report"],
]
MVDIFF = [
    ["devices", "models.flow"],
    ["sampling"],
    ["models", "weights"],
    ["pipelines"],
    ["backbones", "reconstructors"],
    ["runs"],
    ["data"],
    ["training"],
    ["evaluation"],
    ["serving", "batch", "integrations", "testing"],
    ["cli"],
]


def modules(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


EVERY = modules("recon") | modules("mvdiff")


def imports(path: Path) -> Iterator[str]:
    """Modules of this repository that a file imports, whether at its head or inside a function."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: imports are absolute here"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    yield full if full in EVERY else child.module
            yield from visit(child)

    return (name for name in visit(ast.parse(path.read_text("utf-8"))) if name in EVERY)


GRAPH = {name: set(imports(path)) - {name} for name, path in EVERY.items()}


def rank(name: str, layers: list[list[str]]) -> tuple[int, str] | None:
    """Layer and folder of a module; the longest entry that fits counts."""
    local = name.partition(".")[2]
    fits = [
        (len(entry), level, entry)
        for level, entries in enumerate(layers)
        for entry in entries
        if local == entry or local.startswith(entry + ".")
    ]
    return max(fits)[1:] if fits else None


@pytest.mark.parametrize(("package", "layers"), [("recon", RECON), ("mvdiff", MVDIFF)])
def test_no_folder_imports_one_above_it(package: str, layers: list[list[str]]) -> None:
    climbs = []
    for name, used in GRAPH.items():
        own = rank(name, layers) if name.startswith(package + ".") else None
        if own is None:  # the package's own exports, which are lazy
            continue
        for other in sorted(used):
            theirs = rank(other, layers) if other.startswith(package + ".") else None
            if theirs is not None and (theirs[0] > own[0] or (theirs[0] == own[0] and theirs[1] != own[1])):
                climbs.append(f"{name} -> {other}")
    assert not climbs, "\n".join(climbs)


@pytest.mark.parametrize(("package", "layers"), [("recon", RECON), ("mvdiff", MVDIFF)])
def test_every_module_has_a_layer(package: str, layers: list[list[str]]) -> None:
    exempt = {package, f"{package}.__main__"}
    homeless = [n for n in EVERY if n.startswith(package) and n not in exempt and rank(n, layers) is None]
    assert not homeless


def test_recon_never_imports_mvdiff_or_diffusers() -> None:
    foreign = {"mvdiff", "diffusers", "transformers", "accelerate", "peft"}
    for path in modules("recon").values():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not foreign & {name.partition(".")[0] for name in names}, path


def test_no_circles() -> None:
    """Depth-first search for a way back: also through imports inside functions."""
    state: dict[str, int] = {}

    def visit(name: str, way: list[str]) -> None:
        state[name] = 1
        for other in sorted(GRAPH[name]):
            if state.get(other) == 1:
                raise AssertionError(" -> ".join([*way[way.index(other) :], other] if other in way else [*way, other]))
            if other not in state:
                visit(other, [*way, other])
        state[name] = 2

    for name in sorted(GRAPH):
        if name not in state:
            visit(name, [name])
