"""Pictures that users have painted over sampled views, on disk until a job takes them."""

import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.io.folders import atomic_write
from recon.io.images.files import VIEW_PNG, load_image

_ID = re.compile(r"[0-9a-f]{16}")
#: Larger pictures are none of a sampled view.
_MOST_PIXELS = 4_200_000


@dataclass(frozen=True)
class Paintings:
    """The folder of painted views."""

    state_dir: Path

    def add(self, upload: bytes) -> str:
        """Keep a PNG with straight alpha; returns its id. Raises :class:`InputError` for what is no picture."""
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "painting"
            file.write_bytes(upload)
            try:
                picture = load_image(file, alpha="straight", max_pixels=_MOST_PIXELS)
            except InputError as error:
                raise InputError(str(error).replace(f"'{file}'", "The painted view")) from error
        name = secrets.token_hex(8)
        with atomic_write(self._path(name)) as temporary:
            picture.save(temporary, **VIEW_PNG)
        return name

    def require(self, name: str) -> None:
        """Raise :class:`InputError` where there is no such picture."""
        if not _ID.fullmatch(name) or not is_file(self._path(name)):
            raise InputError("There is no such painted view: send it again.")

    def load(self, name: str) -> Image.Image:
        """RGBA with straight alpha. Raises :class:`InputError` where there is none."""
        self.require(name)
        return load_image(self._path(name), alpha="straight")

    def _path(self, name: str) -> Path:
        return self.state_dir / "paintings" / f"{name}.png"
