"""Tar shards as WebDataset lays them out. The driver reads their headers alone; workers read their ranges of bytes."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mvdiff.batch.readers.photo import Photo, Wanted, address
from recon.core.errors import InputError
from recon.core.reading import reason

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".heic", ".heif", ".avif")


@dataclass(frozen=True)
class TarListing:
    """Pictures in tar files, named ``shard.tar/member.jpg``; other members (labels, captions) are passed over."""

    files: Any
    """File system of fsspec."""
    paths: list[str]

    def count(self) -> None:
        """Nothing: the number is known only once all headers are read."""
        return None

    def photos(self, wanted: Wanted) -> Iterator[Photo]:
        for path in self.paths:
            shard, url = path.rpartition("/")[2], address(self.files, path)
            try:
                with self.files.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                    for member in _members(tar):
                        name = f"{shard}/{member.name}"
                        if member.name.lower().endswith(_PICTURES) and wanted(name):
                            yield Photo(name, url, member.offset_data, member.size)
            except (tarfile.TarError, FileNotFoundError) as error:
                raise InputError(f"'{path}' is no readable tar shard ({reason(error)}): check the file.") from error


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Plain files of a tar; what ``tarfile`` remembers of earlier ones is dropped."""
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]
        if member.isreg() and not member.issparse():
            yield member
