"""``mvdiff comfyui``: the nodes in a ComfyUI folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mvdiff.cli.terminal import say


@dataclass(frozen=True)
class Command:
    """Install the nodes into a ComfyUI folder, for a ComfyUI that runs in this Python environment.

    Makes custom_nodes/mvdiff; run it again after an update. To remove the nodes, delete that folder.
    """

    action: Annotated[Literal["install"], tyro.conf.Positional]
    """Action to take."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="COMFYUI")]
    """The folder that ComfyUI's main.py lies in."""

    def run(self) -> None:
        from mvdiff.integrations.comfyui.install import install

        say(f"{install(self.folder)[0].parent}: restart ComfyUI; the nodes are under 3d > mvdiff.")
