"""``mvdiff blender-addon``: the add-on for Blender."""

from dataclasses import dataclass
from pathlib import Path

from mvdiff.cli.terminal import say


@dataclass(frozen=True)
class Command:
    """Write the add-on for Blender 4.2 and later as one zip, which Blender installs from disk."""

    output: Path = Path("mvdiff_blender.zip")
    """The zip file to write."""

    def run(self) -> None:
        from mvdiff.integrations.blender.archive import write_archive

        path = write_archive(self.output)
        say(f"{path}: in Blender, Edit > Preferences > Add-ons > Install from Disk.")
