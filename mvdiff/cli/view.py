"""``mvdiff view``: a finished run in the browser."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.cli.server_options import check_installed


@dataclass(frozen=True)
class Command:
    """Open the report of a run, or the explorer of its scenes, in the browser. No model is loaded."""

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The output folder of a finished run."""
    host: str = "127.0.0.1"
    """Address to bind."""
    port: int = 0
    """Port to bind; 0 takes a free one."""
    browser: Annotated[
        bool,
        tyro.conf.arg(help="Do not open a browser.", help_behavior_hint="(default: the page is opened in one)"),
    ] = True
    """Open the page in a browser."""

    def run(self) -> None:
        check_installed(("starlette", "uvicorn"))
        from mvdiff.serving.view import view

        view(self.run_dir, self.host, self.port, self.browser)
