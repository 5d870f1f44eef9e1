"""The next photo as a picture: how much each direction would tell, and what each hypothesis predicts there."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from recon.core.mesh import TexturedMesh
from recon.ops.parallel import in_threads
from recon.posterior.next_view import NextView
from recon.rendering import Surface
from recon.report.pictures import render_lit

#: Sequential, light to dark: expected bits from the least to the most that any direction offers.
INFORMATION_RAMP = ((246, 245, 240), (168, 205, 214), (58, 132, 166), (24, 62, 104))
_INK, _SOFT, _MARK = (28, 29, 32), (99, 102, 109), (168, 18, 33)
_WIDTH, _LEFT, _ROW, _TILE = 960, 70, 44, 150
MAX_TILES = 12


def draw_next_view(view: NextView, meshes: Sequence[TexturedMesh]) -> Image.Image:
    """Heat map of azimuth by elevation, chosen views numbered, over the hypotheses as the best view sees them."""
    tiles = predicted(view, meshes)
    per_row = _WIDTH // _TILE
    rows = -(-len(tiles) // per_row)
    top, map_height = 62, _ROW * len(view.elevations)
    below = top + map_height + 78
    page = Image.new("RGB", (_WIDTH, below + rows * (_TILE + 22) + 16), "white")
    draw = ImageDraw.Draw(page)
    title, text, small = (ImageFont.load_default(size) for size in (20, 14, 12))
    azimuth, elevation = view.best
    draw.text((16, 14), f"Best next photo: azimuth {azimuth:.0f}°, elevation {elevation:.0f}°", _INK, title)
    random = float(view.information.mean())
    told = f"{view.cumulative[0]:.2f} of {view.entropy:.2f} bits expected; a random direction {random:.2f}"
    draw.text((16, 40), told, _SOFT, text)
    _draw_map(draw, view, top, text, small)
    draw.text((16, below - 26), "What each hypothesis predicts there", _INK, text)
    for index, tile in enumerate(tiles):
        place = (index % per_row * _TILE + 8, below + index // per_row * (_TILE + 22))
        picture = Image.fromarray(tile)
        page.paste(picture, place, picture)
        draw.text((place[0] + 6, place[1] + _TILE - 4), f"#{index}", _SOFT, small)
    return page


def predicted(
    view: NextView, meshes: Sequence[TexturedMesh | Surface], size: int = _TILE - 10
) -> list[UInt8[np.ndarray, "h w 4"]]:
    """The first few hypotheses as the best next photo would show them."""
    return in_threads(lambda mesh: render_lit(mesh, view.camera(size=size))[0], meshes[:MAX_TILES])


def centered_order(view: NextView) -> list[int]:
    """Columns by azimuth from -180 up, so that the photo's own direction stands in the middle."""
    wrapped = [(float(a) + 180) % 360 - 180 for a in view.azimuths]
    return sorted(range(len(wrapped)), key=wrapped.__getitem__)


def _draw_map(draw: ImageDraw.ImageDraw, view: NextView, top: int, text, small) -> None:
    order = centered_order(view)
    cell = (_WIDTH - _LEFT - 20) / len(order)
    ranks = {index: rank for rank, index in enumerate(view.chosen, 1)}
    rows = sorted(range(len(view.elevations)), key=lambda row: -float(view.elevations[row]))
    for line, row in enumerate(rows):
        y = top + line * _ROW
        draw.text((16, y + 14), f"{view.elevations[row]:.0f}°", _SOFT, text)
        for place, column in enumerate(order):
            bits = float(view.information[row, column])
            box = (_LEFT + place * cell, y, _LEFT + (place + 1) * cell - 2, y + _ROW - 2)
            color = information_color(share_of_range(view, bits))
            draw.rectangle(box, color)
            ink = _INK if sum(color) > 380 else (255, 255, 255)
            draw.text((box[0] + 5, y + 25), f"{bits:.2f}", ink, small)
            if (row, column) in ranks:
                draw.rectangle(box, outline=_MARK, width=3)
                draw.text((box[2] - 15, y + 5), str(ranks[row, column]), _MARK if sum(color) > 380 else ink, text)
    y = top + len(rows) * _ROW + 4
    for place, column in enumerate(order):
        angle = (float(view.azimuths[column]) + 180) % 360 - 180
        if place % max(1, len(order) // 8) == 0 or angle == 0:
            name = "photo" if angle == 0 else f"{angle:+.0f}°"
            draw.text((_LEFT + (place + 0.5) * cell, y), name, _INK if angle == 0 else _SOFT, small, anchor="ma")
    draw.text((_LEFT, y + 18), "azimuth from the photo (positive: walk to the right around it)", _SOFT, small)


def share_of_range(view: NextView, bits: float) -> float:
    """0 for the least informative direction, 1 for the most; directions that are nearly alike look alike."""
    low, high = float(view.information.min()), float(view.information.max())
    return 1 - (high - bits) / max(high - low, 0.05 * high, 1e-6)


def information_color(share: float) -> tuple[int, int, int]:
    """Color of a share in [0, 1], see :func:`share_of_range`."""
    position = min(max(share, 0.0), 1.0) * (len(INFORMATION_RAMP) - 1)
    low = min(int(position), len(INFORMATION_RAMP) - 2)
    mixed = [a + (b - a) * (position - low) for a, b in zip(*INFORMATION_RAMP[low : low + 2], strict=True)]
    return tuple(round(value) for value in mixed)
