"""The next photo of a place as a plan from above: where one can stand, and what a photo in each direction tells."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from recon.report.next_view_map import INFORMATION_RAMP

_SIZE, _TOP, _MARGIN = 640, 70, 24
_INK, _SOFT, _SAFE, _MARK = (28, 29, 32), (99, 102, 109), (221, 234, 214), (168, 18, 33)
_LEAST_REACH = 1.0


def draw_photo_plan(
    record: dict[str, Any],
    places: Float[np.ndarray, "p 2"],
    bits: Float[np.ndarray, "p y"],
    safe: Float[np.ndarray, "q 2"],
    cell: float,
) -> Image.Image:
    """Plan from above, the first photo looking up the page.

    Args:
        record: The plan as JSON, for its titles and chosen photos.
        places: Positions x, z in meters.
        bits: Expected bits by place and yaw, from straight ahead clockwise.
        safe: Centers x, z of cells that are safe to walk on.
        cell: Their edge in meters.
    """
    page = Image.new("RGB", (_SIZE, _TOP + _SIZE), "white")
    draw = ImageDraw.Draw(page)
    title, text = (ImageFont.load_default(size) for size in (20, 14))
    best = record["views"][0]
    draw.text((16, 12), f"Best next photo: {_where(best)}", _INK, title)
    told = f"{best['information_bits']:.2f} of {record['entropy_bits']:.2f} bits expected; green: safe to walk"
    draw.text((16, 42), told, _SOFT, text)
    reach = max(float(np.abs(np.concatenate([places, safe.reshape(-1, 2)])).max()) + cell, _LEAST_REACH)
    scale = (_SIZE / 2 - _MARGIN) / reach

    def at(x: float, z: float) -> tuple[float, float]:
        return _SIZE / 2 + x * scale, _TOP + _SIZE / 2 + z * scale

    for x, z in safe.tolist():
        draw.rectangle((*at(x - cell / 2, z - cell / 2), *at(x + cell / 2, z + cell / 2)), fill=_SAFE)
    most = max(float(bits.max()), 1e-6)
    for (x, z), row in zip(places.tolist(), bits.tolist(), strict=True):
        _draw_rose(draw, at(x, z), [share / most for share in row], min(0.2 * reach * scale, 34))
    for rank, view in enumerate(record["views"], 1):
        x, _, z = view["position"]
        yaw = math.radians(view["yaw"])
        start, length = at(x, z), 52
        end = (start[0] + length * math.sin(yaw), start[1] - length * math.cos(yaw))
        draw.line((*start, *end), _MARK, 3)
        draw.text((end[0] + 4, end[1] - 8), str(rank), _MARK, title)
    return page


def _draw_rose(draw: ImageDraw.ImageDraw, center: tuple[float, float], shares: Sequence[float], radius: float) -> None:
    """Sectors by direction, darker where a photo tells more."""
    step, box = 360 / len(shares), (center[0] - radius, center[1] - radius, center[0] + radius, center[1] + radius)
    for k, share in enumerate(shares):
        color = INFORMATION_RAMP[min(int(share * len(INFORMATION_RAMP)), len(INFORMATION_RAMP) - 1)]
        middle = -90 + k * step  # Pillow counts clockwise from the right
        draw.pieslice(box, middle - step / 2, middle + step / 2, fill=color, outline="white")


def _where(view: dict[str, Any]) -> str:
    x, _, z = view["position"]
    turn = (view["yaw"] + 180) % 360 - 180
    looked = "straight ahead" if turn == 0 else f"{abs(turn):.0f}° to the {'right' if turn > 0 else 'left'}"
    return f"{looked}, {math.hypot(x, z):.1f} m from the first"
