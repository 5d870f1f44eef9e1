"""Files that a mesh file names: found beside it as other programs find them, never outside its folder."""

import ntpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from recon.core.paths import is_file, is_folder
from recon.core.reading import read_bytes

#: Larger files are refused before they are read, in bytes.
MAX_FILE = 2 << 30


@dataclass(frozen=True)
class FilesBeside:
    """The folder of a mesh file, and all below it."""

    folder: Path

    def read(self, name: str) -> bytes:
        """Read the file called ``name``.

        Names may be percent-encoded, have backslashes, a foreign folder (``C:\\models\\a.png``) or another letter case.

        Raises:
            OSError: There is no such file in the folder.
            ValueError: It is no ordinary file, or larger than ``MAX_FILE``.
        """
        path = self.find(name)
        if path is None:
            raise FileNotFoundError(f"there is no '{name}' beside it")
        return read_bytes(path, MAX_FILE)

    def find(self, name: str) -> Path | None:
        """The file that ``name`` means, or None."""
        spelled = [name, unquote(name)]
        spelled += [text.replace("\\", "/") for text in spelled]
        spelled += [ntpath.basename(text) for text in spelled]
        candidates = list(dict.fromkeys(text for text in spelled if text and "\0" not in text))
        found = (self._exact(text) for text in candidates)
        loose = (self._any_case(text) for text in candidates)
        return next((path for path in (*found, *loose) if path is not None), None)

    def _exact(self, name: str) -> Path | None:
        path = self.folder / name
        try:
            inside = path.resolve().is_relative_to(self.folder.resolve())
            return path if inside and is_file(path) else None
        except (OSError, RuntimeError, ValueError):  # too long, a loop of links
            return None

    def _any_case(self, name: str) -> Path | None:
        place = self.folder
        for part in Path(name).parts:
            try:
                entries = {entry.name.casefold(): entry for entry in place.iterdir()} if is_folder(place) else {}
            except OSError:
                return None
            if part.casefold() not in entries:
                return None
            place = entries[part.casefold()]
        return self._exact(str(place.relative_to(self.folder)))
