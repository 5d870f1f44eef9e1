"""Every code block of the documentation runs; shapes that it states are the shapes that come."""

import os
import re
from pathlib import Path

import pytest
import yaml
from documented_commands import check_line, lines_of
from sybil import Document, Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser
from sybil.region import Lexeme

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "mvdiff/weights/embedded/README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", CARD, *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"python", "bash", "yaml", "text"}
_SHAPE = re.compile(r"^(?P<code>\S.*\.shape)\s+# \[(?P<dims>[\d, ]+)\].*$", re.MULTILINE)


class Quick(PythonEvaluator):
    """Python as it stands, but for two hypotheses instead of eight, with every stated shape asserted."""

    def __call__(self, example: Example) -> None:
        text = example.parsed.replace("num_hypotheses=8", "num_hypotheses=2, num_inference_steps=2, candidates=1")
        text = text.replace("http://127.0.0.1:7860", os.environ.get("MVDIFF_TEST_SERVER", "no server is running"))
        text = _SHAPE.sub(r"assert list(\g<code>) == [\g<dims>]", text.replace("# [8, ", "# [2, "))
        example.parsed = Lexeme(text, example.parsed.offset, example.parsed.line_offset)
        super().__call__(example)


def shell(example: Example) -> None:
    for line in lines_of(example.parsed):
        check_line(line, resample=Path(example.path).name != "README.md")  # their guide runs the same commands


def settings(example: Example) -> None:
    """A YAML block is (a part of) a training recipe."""
    from mvdiff.training.config import TrainConfig, apply_overrides

    apply_overrides(TrainConfig(), yaml.safe_load(example.parsed))


BLOCKS = Sybil(
    [
        CodeBlockParser("python", Quick()),
        CodeBlockParser("bash", shell),
        CodeBlockParser("yaml", settings),
    ]
)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_runs(page: Path, newcomer: Path, request: pytest.FixtureRequest) -> None:
    if "mvdiff.client" in page.read_text("utf-8"):
        request.getfixturevalue("api_server")
    document: Document = BLOCKS.parse(page)
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_names_a_language_that_is_tested(page: Path) -> None:
    text = page.read_text("utf-8")
    fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
    opened = fences[::2]
    assert len(fences) % 2 == 0, "a fence is not closed"
    assert all(name in LANGUAGES or name.startswith("{") for name in opened), opened
    assert not re.search(r"(?<=\n\n)    \S", re.sub(r"```.*?```", "", text, flags=re.DOTALL)), "indented code block"


def test_a_wrong_shape_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nimport torch\ntorch.zeros(2, 3).shape  # [2, 4]\n```\n")
    (example,) = BLOCKS.parse(page).examples()
    with pytest.raises(AssertionError):
        example.evaluate()


def test_an_unknown_option_fails() -> None:
    with pytest.raises(SystemExit):
        check_line("mvdiff calibrate --no-such-option")
    with pytest.raises(AssertionError):
        check_line("make no-such-rule")
