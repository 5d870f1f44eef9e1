"""Plain English, as far as a program can check it: the card in CONTRIBUTING.md."""

import ast
import dataclasses
import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvdiff.cli.main import VERBS

ROOT = Path(__file__).parents[1]
PACKAGES = ("mvdiff", "recon", "tools")
#: First words that make a docstring a genitive or a relative clause without a head noun.
_HEADLESS = re.compile(r"(Of|What|Which|Whose|How|Where)\b")
_DANGLING = re.compile(r"\b(of|for|from|to|with|by|that|the|a|an)\.?$")
#: Phrases of a private dialect, each with what the field says. Hits in docs, docstrings and comments are counted.
_DIALECT = {
    r"\bis no way out\b": "say what would happen otherwise",
    r"\b(is|are) believed\b": "trusted; confidence",
    r"\bhas no vote\b": "is ignored",
    r"\bhardly trusted\b": "low-trust",
    r"\bof one kind\b": "clamped",
    r"\bfound anew\b": "recomputed",
    r"\bcarried on to\b": "extrapolated",
    r"\bsay of the bend\b": "multistep",
    r"\btells? most\b": "is most informative",
    r"\bthinks possible\b": "the model's distribution",
    r"\bevery so (many|manieth)\b": "every n-th",
    r"\bso many-?th\b": "every n-th",
    r"\bwithout a trace\b": "does not change",
    r"\bknown with their\b": "needs",
    r"\bis nobody's business\b": "remove",
    r"\btake turns at Python\b": "hold the GIL",
}
_MOST_HITS = 10


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, those of fields included."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Expr) and (text := _string(node)):
            yield node.lineno, text


def _string(node: ast.AST) -> str | None:
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value.strip() if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_docstrings_have_a_head() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in sources()
        for line, text in docstrings(path)
        if _HEADLESS.match(text)
    ]
    assert not found, "\n".join(found)


def options(command: type, seen: frozenset[type] = frozenset()) -> Iterator[tuple[str, str | None]]:
    """Name and docstring of every field of a command, through nested dataclasses and subcommands."""
    docs = _field_docs(command)
    for field in dataclasses.fields(command):
        inner = [kind for kind in _dataclasses_in(field.type, command) if kind not in seen]
        for kind in inner:
            yield from options(kind, seen | {command})
        if not inner:
            yield f"{command.__module__}.{command.__qualname__}.{field.name}", docs.get(field.name)


def _field_docs(command: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed(command.__mro__):
        module = importlib.import_module(base.__module__)
        if not dataclasses.is_dataclass(base) or module.__file__ is None:
            continue
        tree = ast.parse(Path(module.__file__).read_text("utf-8"))
        body = next(n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == base.__name__)
        for before, after in itertools.pairwise(body):
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and (text := _string(after)):
                found[before.target.id] = text
        found |= {n.target.id: text for n in body if isinstance(n, ast.AnnAssign) and (text := _given_help(n))}
    return found


def _given_help(node: ast.AnnAssign) -> str | None:
    """The text of ``tyro.conf.arg(help=…)`` in an annotation."""
    for call in ast.walk(node.annotation):
        for keyword in call.keywords if isinstance(call, ast.Call) else []:
            if keyword.arg == "help":
                return "".join(str(part.value) for part in ast.walk(keyword.value) if isinstance(part, ast.Constant))
    return None


def _dataclasses_in(annotation: object, command: type) -> list[type]:
    from typing import get_args, get_type_hints

    if isinstance(annotation, str):
        annotation = get_type_hints(command, include_extras=True)[annotation]
    parts = [annotation]
    for part in parts:
        parts += get_args(part)
    return [part for part in parts if isinstance(part, type) and dataclasses.is_dataclass(part)]


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_option_stands_alone(verb: str) -> None:
    command = importlib.import_module(f"mvdiff.cli.{verb.replace('-', '_')}").Command
    assert command.__doc__
    assert not command.__doc__.startswith("Command(")
    for name, text in options(command):
        assert text, f"{name} has no help"
        assert text[0].isupper() or text[0].isdigit() or text[0] in '"`', f"{name}: {text}"
        assert not _HEADLESS.match(text), f"{name}: {text}"
        assert not _DANGLING.search(text.rstrip(".")), f"{name}: {text}"
        assert text.endswith((".", ")", '"')), f"{name}: {text}"


def test_the_dialect_is_gone() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    hits = [
        f"{path.relative_to(ROOT)}: {pattern}: say: {better}"
        for path in [*sources(), *pages]
        for pattern, better in _DIALECT.items()
        for _ in re.finditer(pattern, path.read_text("utf-8"))
    ]
    assert len(hits) < _MOST_HITS, "\n".join(hits)
