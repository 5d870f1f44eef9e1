"""Selection by a pixel or a box, on a rendered photo of three objects whose masks are known."""

import numpy as np
import pytest
from three_objects import three_objects

from recon.core.errors import InputError
from recon.io.images.selection import Selection, segment_selected


def _iou(alpha: np.ndarray, mask: np.ndarray) -> float:
    own = alpha > 0.5
    return float((own & mask).sum() / (own | mask).sum())


@pytest.mark.parametrize(("plain", "least"), [(True, 0.94), (False, 0.88)], ids=["plain", "patterned table"])
def test_a_pixel_selects_its_object_and_no_other(plain: bool, least: float) -> None:
    scene = three_objects(plain)
    places = [Selection(point=point) for point in scene.points]
    for number, mask in enumerate(scene.masks.numpy()):
        found = segment_selected(scene.rgb, places[number], places[:number] + places[number + 1 :])
        assert _iou(found.alpha, mask) > least
        others = scene.masks.numpy()[[k for k in range(3) if k != number]].any(0)
        assert found.alpha[others].mean() < 0.02


def test_a_box_selects_what_is_in_it() -> None:
    scene = three_objects()
    for mask in scene.masks.numpy():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (columns[0] - 3.0, rows[0] - 3.0, columns[-1] + 4.0, rows[-1] + 4.0)
        found = segment_selected(scene.rgb, Selection(box=box))
        assert _iou(found.alpha, mask) > 0.9


def test_objects_that_touch_are_told_apart_by_the_places_of_both() -> None:
    """A red and a blue square side by side on a patterned ground."""
    rng = np.random.default_rng(0)
    rgb = np.repeat(rng.integers(90, 160, (160, 200, 1)), 3, -1).astype(np.uint8)
    rgb[40:120, 40:100] = (200, 40, 30)
    rgb[40:120, 100:160] = (30, 60, 200)
    red, blue = Selection(point=(70, 80)), Selection(point=(130, 80))
    truth = np.zeros((160, 200), bool)
    truth[40:120, 40:100] = True
    assert _iou(segment_selected(rgb, red, [blue]).alpha, truth) > 0.95
    assert _iou(segment_selected(rgb, blue, [red]).alpha, np.roll(truth, 60, 1)) > 0.95


@pytest.mark.parametrize("text", ["5", "5,6,7", "a,b", "5,nan", ""])
def test_places_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--select takes X,Y"):
        Selection.at(text)


def test_boxes_have_an_inside() -> None:
    assert Selection.around("1, 2, 30,40").box == (1, 2, 30, 40)
    with pytest.raises(InputError, match="is empty"):
        Selection.around("30,2,1,40")


def test_a_place_outside_of_the_photo_is_refused() -> None:
    with pytest.raises(InputError, match="outside of the picture of 20 x 10 pixels"):
        segment_selected(np.zeros((10, 20, 3), np.uint8), Selection(point=(25, 5)))
