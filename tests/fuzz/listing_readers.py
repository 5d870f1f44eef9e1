"""Readers of the listings of photos that a batch takes."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image


def listing_readers() -> dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]]:
    """A text file, tables and shards, each with one picture or its name."""
    return {
        "listing, lines": (_text("# photos\n0.png\nhttps://example.org/1.png\n", "photos.txt"), _read),
        "listing, csv": (_text("photo,size\n0.png,16\n1.png,12\n", "photos.csv"), _read),
        "listing, parquet": (_parquet, _read),
        "listing, tar": (_tar, _read),
    }


def _text(text: str, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


def _png() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(picture, "PNG")
    return picture.getvalue()


def _parquet(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"image": [_png(), _png()], "id": ["a", "b"]}), folder / "photos.parquet")
    return folder / "photos.parquet"


def _tar(folder: Path) -> Path:
    with tarfile.open(folder / "photos.tar", "w") as shard:
        for name in ("0.png", "1.png"):
            member = tarfile.TarInfo(name)
            member.size = len(_png())
            shard.addfile(member, io.BytesIO(_png()))
    return folder / "photos.tar"


def _read(path: Path) -> list[Any]:
    from mvdiff.batch.readers.listing import open_listing

    listing = open_listing(str(path))
    return [listing.count(), *listing.photos(lambda name: True)]
