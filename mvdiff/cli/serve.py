"""``mvdiff serve``: the HTTP API."""

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from mvdiff.cli.server_options import ServerOptions


@dataclass(frozen=True)
class Command:
    """Serve the HTTP API: a photo becomes a job, its progress server-sent events, its results files.

    The page /docs describes all requests. Jobs outlive the server: started again with the same output folder, it goes
    on with interrupted ones.
    """

    options: Annotated[ServerOptions, tyro.conf.OmitArgPrefixes] = field(default_factory=ServerOptions)

    def run(self) -> None:
        from mvdiff.serving.server import serve

        serve(self.options.config(pages=False))
