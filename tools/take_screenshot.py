"""Take a picture of a web page on disk with Chromium, such as the report of a run.

``python tools/take_screenshot.py out/report.html docs/images/report.png``
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image

from recon.core.errors import InputError
from recon.io.folders import atomic_write

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True)
class Screenshot:
    page: tyro.conf.Positional[Path]
    """The .html file."""
    output: tyro.conf.Positional[Path]
    """The .png file to write."""
    width: int = 1280
    """Width of the window in pixels."""
    height: int = 1000
    """Height of the window in pixels, from the top of the page."""
    scale: float = 1.0
    """Device pixels per pixel of the page."""
    seconds: float = 8.0
    """Virtual time that scripts get before the picture is taken."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if not self.page.is_file():
            raise InputError(f"There is no page '{self.page}': check the path.")
        if browser() is None:
            raise InputError(f"No browser was found: install one of {', '.join(BROWSERS)}.")


def browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def take(config: Screenshot) -> Path:
    """Write the picture; the page gets no network."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        command = [
            *(browser() or "", "--headless=new", "--no-sandbox", "--hide-scrollbars", "--use-gl=angle"),
            *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--host-resolver-rules=MAP * ~NOTFOUND"),
            *(f"--user-data-dir={folder}/profile", f"--window-size={config.width},{config.height}"),
            *(f"--force-device-scale-factor={config.scale}", f"--virtual-time-budget={round(config.seconds * 1000)}"),
            *(f"--screenshot={picture}", config.page.resolve().as_uri()),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        with atomic_write(config.output) as temporary:
            Image.open(picture).convert("RGB").save(temporary, "PNG", optimize=True)
    return config.output


def main(config: Screenshot) -> None:
    config.check()
    print(take(config))


if __name__ == "__main__":
    try:
        main(tyro.cli(Screenshot, description=__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
