"""The options that select objects of a photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.helpers.selecting import Segmenter
    from recon.io.images.selection import Selection


@dataclass(frozen=True)
class SelectionChoice:
    """Objects of one cluttered photo."""

    select: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="X,Y")] = ()
    """Pixel on the object, from the upper left corner. Repeat it for several objects of one photo: each gets a run of
    its own in object-1, object-2 and so on, and scene.glb places all in one frame."""
    box: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="X0,Y0,X1,Y1")] = ()
    """Box around the object, in pixels: left, top, right, bottom. May be repeated."""
    segmenter: Path | None = None
    """Folder with the weights of SAM 2; without it a selection uses color and edges alone."""

    def places(self, photos: Sequence[Path]) -> "list[Selection]":
        """Places in the photo. Raises :class:`InputError` for places that cannot be read, or in several photos."""
        from recon.io.images.selection import Selection

        found = [*map(Selection.at, self.select), *map(Selection.around, self.box)]
        if found and len(photos) != 1:
            raise InputError(f"--select and --box are places in one photo, not in {len(photos)}: give a single photo.")
        if self.segmenter is not None and not found:
            raise InputError("--segmenter needs a place to segment: add --select X,Y or --box X0,Y0,X1,Y1.")
        return found

    def load(self, device: str) -> "Segmenter | None":
        if self.segmenter is None:
            return None
        from mvdiff.helpers.sam2 import Sam2Segmenter

        return Sam2Segmenter.from_folder(self.segmenter, device)
