"""``mvdiff app``: the studio in the browser."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from mvdiff.cli.server_options import ServerOptions


@dataclass(frozen=True)
class Command:
    """Open the studio: drop a photo, correct its matte, watch hypotheses appear, keep or reject them, export.

    It serves the HTTP API of `mvdiff serve`, too. Several people can use it at a time; their jobs wait in one queue.
    """

    options: Annotated[ServerOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=ServerOptions)
    browser: Annotated[
        bool,
        tyro.conf.arg(help="Do not open a browser.", help_behavior_hint="(default: the studio is opened in one)"),
    ] = True
    """Open the studio in a browser."""

    def run(self) -> None:
        from mvdiff.serving.server import serve

        serve(self.options.config(pages=True), open_browser=self.browser)
