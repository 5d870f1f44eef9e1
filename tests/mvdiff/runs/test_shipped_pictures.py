"""The two shipped pictures with the embedded weights: photos of objects, so no warning says that they are none."""

from pathlib import Path

import pytest

from mvdiff import ImageTo3D
from mvdiff.sampling.generation import GenerationConfig

ASSETS = Path(__file__).parents[3] / "mvdiff" / "assets"


@pytest.fixture(scope="module")
def model() -> ImageTo3D:
    return ImageTo3D.from_pretrained("embedded", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo.png", "hidden_handle_mug.png"])
def test_a_shipped_picture_raises_no_false_alarm(model: ImageTo3D, name: str) -> None:
    config = GenerationConfig(num_hypotheses=2)  # novelty looks at two
    reference = model.prepare(ASSETS / name, config)
    novelty = model.novelty(reference, *model.sample(reference, config), config)
    assert novelty.p_value > 0.1
    assert novelty.warnings == ()


@pytest.mark.slow
def test_noise_does(model: ImageTo3D) -> None:
    from mvdiff.evaluation.protocols.non_objects import non_object

    kind, picture = non_object(0)
    config = GenerationConfig(num_hypotheses=2, framing="keep", matting=False)
    reference = model.prepare(picture, config)
    novelty = model.novelty(reference, *model.sample(reference, config), config)
    assert kind == "noise"
    assert novelty.p_value < 0.05
    assert "unlike the objects that the model knows" in novelty.warnings[0]
