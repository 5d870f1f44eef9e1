"""Draw a labeled figure of finished runs: each photo, and some of its hypotheses from four sides.

``python tools/draw_figure.py out/mug --hypotheses 0 2 5 --output docs/images/hidden_handle.png``
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from PIL import Image, ImageDraw, ImageFont

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.meshes.files import load_mesh
from recon.rendering import render_mesh
from recon.report.pictures import SIDES, render_lit

INK, GRAY, RULE, PAPER = (24, 24, 27), (113, 113, 122), (228, 228, 231), (255, 255, 255)
MARGIN, HEADER, NOTE = 24, 44, 30


@dataclass(frozen=True)
class Figure:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs, one block of rows each."""
    output: Path
    """The .png file to write."""
    hypotheses: tuple[int, ...] = (0,)
    """Indices of the hypotheses to draw, one row each."""
    notes: tuple[str, ...] = ()
    """A note under each row; by default the number and weight of the hypothesis."""
    caption: str = ""
    """A sentence below all rows."""
    shading: Literal["lit", "albedo"] = "lit"
    """lit: under a light that turns with the camera, which shows the shape. albedo: the texture's colors alone."""
    cell: int = 220
    """Side of one rendering in pixels."""

    def check(self) -> None:
        """Raise :class:`InputError` for values that cannot be used."""
        if not self.runs:
            raise InputError("No run was given: name at least one folder of `mvdiff generate`.")
        rows = len(self.runs) * len(self.hypotheses)
        if self.notes and len(self.notes) != rows:
            raise InputError(f"--notes takes one note for each of the {rows} rows, not {len(self.notes)}.")
        for run in self.runs:
            for index in self.hypotheses:
                if not _mesh_file(run, index).is_file():
                    raise InputError(f"'{_mesh_file(run, index)}' does not exist: give finished runs in GLB format.")


def draw(figure: Figure) -> Image.Image:
    """Compose the figure on white."""
    rows = len(figure.hypotheses)
    row_height = figure.cell + NOTE
    block = rows * row_height
    photo_size = int(figure.cell * (1.25 if rows == 1 else 1.6))
    left = MARGIN + photo_size + MARGIN
    width = left + len(SIDES) * figure.cell + MARGIN
    footer = 56 if figure.caption else MARGIN
    sheet = Image.new("RGB", (width, HEADER + len(figure.runs) * block + footer), PAPER)
    pen = ImageDraw.Draw(sheet)
    _text(pen, (MARGIN + photo_size // 2, HEADER // 2), "the photo", INK, 18)
    for column, side in enumerate(SIDES):
        _text(pen, (left + int((column + 0.5) * figure.cell), HEADER // 2), side, INK, 18)
    notes = iter(figure.notes or _numbers(figure))
    for number, run in enumerate(figure.runs):
        top = HEADER + number * block
        pen.line([(MARGIN, top), (width - MARGIN, top)], RULE)
        photo = _photo(run, photo_size)
        _paste(sheet, photo, (MARGIN, top + (block - photo.height) // 2))
        for row, index in enumerate(figure.hypotheses):
            y = top + row * row_height
            for column, picture in enumerate(_sides(load_mesh(_mesh_file(run, index)), figure)):
                _paste(sheet, picture, (left + column * figure.cell, y))
            _text(pen, (left + len(SIDES) * figure.cell // 2, y + figure.cell + NOTE // 2 - 4), next(notes), GRAY, 15)
    if figure.caption:
        _text(pen, (width // 2, sheet.height - footer // 2), figure.caption, INK, 17)
    return sheet


def _mesh_file(run: Path, index: int) -> Path:
    return run / f"hypotheses/{index:03d}.glb"


def _numbers(figure: Figure) -> list[str]:
    return [f"hypothesis {index}" for _ in figure.runs for index in figure.hypotheses]


def _photo(run: Path, size: int) -> Image.Image:
    """The photo as the model sees it: cut out and centered."""
    picture = Image.open(run / "photo.webp").convert("RGBA")
    picture = picture.crop(picture.getchannel("A").getbbox())
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    padded = Image.new("RGBA", (size, picture.height))
    padded.paste(picture, ((size - picture.width) // 2, 0))
    return padded


def _sides(mesh: TexturedMesh, figure: Figure) -> list[Image.Image]:
    """Renderings from :data:`SIDES`, made twice as large and reduced for smooth outlines."""
    azimuths, elevations = zip(*SIDES.values(), strict=True)
    cameras = Cameras.orbit(list(azimuths), list(elevations), size=2 * figure.cell)
    if figure.shading == "lit":
        pictures = render_lit(mesh, cameras)
    else:
        views = render_mesh(mesh, cameras)
        rgba = torch.cat([views.rgb, views.alpha], 2)[0].clamp(0, 1).permute(0, 2, 3, 1)
        pictures = list((rgba * 255).round().byte().numpy())
    small = (figure.cell, figure.cell)
    return [Image.fromarray(picture).resize(small, Image.Resampling.LANCZOS) for picture in pictures]


def _paste(sheet: Image.Image, picture: Image.Image, corner: tuple[int, int]) -> None:
    sheet.paste(picture, corner, picture.getchannel("A"))


def _text(pen: ImageDraw.ImageDraw, middle: tuple[int, int], text: str, color: tuple[int, int, int], size: int) -> None:
    pen.text(middle, text, fill=color, font=ImageFont.load_default(size), anchor="mm")


def main(arguments: list[str]) -> None:
    from recon.io.folders import atomic_write

    figure = tyro.cli(Figure, args=arguments, description=__doc__)
    figure.check()
    with atomic_write(figure.output) as temporary:
        draw(figure).save(temporary, "PNG", optimize=True)
    print(figure.output)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
