"""Ranges of the grammar's parameters: for training and validation, and beyond them for the held-out split."""

from dataclasses import dataclass

from mvdiff.data.scenes.scene import Split

Range = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """Metres and radians."""

    room_side: Range = (2.9, 6.4)
    room_height: Range = (2.35, 3.0)
    flat_side: Range = (7.0, 11.0)
    corridor_width: Range = (1.3, 2.4)
    road_half_width: Range = (2.4, 4.4)
    storeys: tuple[int, int] = (1, 3)
    courtyard_side: Range = (11.0, 20.0)
    relief: Range = (0.4, 2.2)
    """Height of a terrain's hills."""
    sun_rise: Range = (0.45, 1.2)


_TRAIN = Ranges()
_HELD_OUT = Ranges(
    room_side=(6.4, 7.8),
    room_height=(3.0, 3.5),
    flat_side=(11.0, 13.5),
    corridor_width=(2.4, 3.0),
    road_half_width=(4.4, 5.6),
    storeys=(4, 5),
    courtyard_side=(20.0, 26.0),
    relief=(2.2, 3.2),
    sun_rise=(0.25, 0.45),
)


def ranges_of(split: Split) -> Ranges:
    return _HELD_OUT if split == "held_out" else _TRAIN
