"""Settings of the server. Free of web packages, so that the command line's help stays fast."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from recon.core.errors import InputError

#: Environment variable that holds the key which requests must show.
API_KEY = "MVDIFF_API_KEY"


@dataclass(frozen=True)
class Limits:
    """Limits on what visitors may ask for."""

    max_megabytes: float = 32.0
    """Largest upload in megabytes."""
    max_megapixels: float = 50.0
    """Most pixels of a photo, in millions."""
    queue_length: int = 32
    """Most jobs that wait at a time; further ones are refused with status 429."""
    time_limit: float = 3600.0
    """Longest time that one job may work, in seconds."""
    max_hypotheses: int = 32
    """Most hypotheses of one job."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        for name in ("max_megabytes", "max_megapixels", "queue_length", "time_limit", "max_hypotheses"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"--{name.replace('_', '-')} is a positive number, not {value}.")

    @property
    def max_bytes(self) -> int:
        return int(self.max_megabytes * 1e6)

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * 1e6)


@dataclass(frozen=True)
class Address:
    """Address on which the server listens."""

    host: str = "127.0.0.1"
    """Address to bind; 0.0.0.0 serves the whole network, and then a key is required."""
    port: int = 7860
    """Port to bind."""
    allowed_host: tuple[str, ...] = ()
    """Further names under which browsers may reach this server, such as that of a proxy."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if not 0 <= self.port < 65536:
            raise InputError(f"A port lies between 0 and 65535, not {self.port}.")
        if not self.local and not api_key():
            raise InputError(
                f"Everyone who reaches '{self.host}' could use this server: set a key in the environment variable "
                f"{API_KEY}, or bind 127.0.0.1."
            )

    @property
    def local(self) -> bool:
        """Whether only this machine reaches the server."""
        return self.host in ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Extras:
    """Weights beside those of the backbones, each of which adds a choice."""

    scene_weights: str = "embedded-scene"
    """Weights of the scene mode: "embedded-scene" (in this package), or a folder."""
    reconstructor_weights: Path | None = None
    """Folder of the converted weights of the reconstructor "lrm"."""
    segmenter: Path | None = None
    """Folder with the weights of SAM 2, by which a click or a box picks the object; without it color and edges do."""

    def check(self) -> None:
        """Raise :class:`InputError` for folders that are not there."""
        folders = {"--reconstructor-weights": self.reconstructor_weights, "--segmenter": self.segmenter}
        folders["--scene-weights"] = None if self.scene_weights == "embedded-scene" else Path(self.scene_weights)
        for option, folder in folders.items():
            if folder is not None and not folder.is_dir():
                raise InputError(f"There is no folder '{folder}': check {option}.")


@dataclass(frozen=True)
class ServerConfig:
    """Everything that a server needs to know."""

    output_dir: Path
    model: dict[str, object]
    """Keyword arguments of :func:`mvdiff.runs.loading.load_model` for the backbone "embedded", without the device."""
    extras: Extras = Extras()
    devices: tuple[str, ...] = ("auto",)
    """One worker process for each."""
    limits: Limits = Limits()
    address: Address = Address()
    pages: bool = True
    """Whether the studio's pages are served beside the API."""


def api_key() -> str | None:
    """The key that requests must show, if there is one."""
    return os.environ.get(API_KEY) or None
