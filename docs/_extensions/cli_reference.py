"""The ``cli-reference`` directive: the help text of every verb, generated when the site is built."""

import contextlib
import io
import os

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CliReference(SphinxDirective):
    """One section per verb, holding what ``mvdiff VERB --help`` prints."""

    def run(self) -> list[nodes.Node]:
        from mvdiff.cli.main import VERBS

        return [self._section(verb) for verb in VERBS]

    def _section(self, verb: str) -> nodes.section:
        section = nodes.section(ids=[f"mvdiff-{verb}"])
        section += nodes.title(text=f"mvdiff {verb}")
        section += nodes.literal_block(text=help_text(verb), language="text")
        self.state.document.note_explicit_target(section)
        return section


def help_text(verb: str, width: int = 100) -> str:
    """Return the output of ``mvdiff VERB --help`` wrapped to ``width`` columns, without colors."""
    from mvdiff.cli.main import main

    os.environ |= {"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "dumb"}
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([verb, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("cli-reference", CliReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
