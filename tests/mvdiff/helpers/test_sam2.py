"""SAM 2 with random weights: loading, prompts and masks go where they should."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_helpers import tiny_sam2

from mvdiff.helpers.sam2 import Sam2Segmenter
from mvdiff.helpers.selecting import select_objects
from mvdiff.weights.manifest import Source, make_manifest
from recon.core.errors import InputError
from recon.io.images.selection import Selection


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_sam2(tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Sam2Segmenter:
    return Sam2Segmenter.from_folder(folder)


def _picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (90, 120, 3)).astype(np.uint8)


def test_masks_equal_those_of_a_call_by_hand(segmenter: Sam2Segmenter, folder: Path) -> None:
    from transformers import Sam2Model

    rgb = _picture()
    model = Sam2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    pixels = torch.nn.functional.interpolate(pixels, (128, 128), mode="bilinear", antialias=True)
    pixels = (pixels - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    point = torch.tensor([[30.0, 45.0], [100.0, 60.0]]) * torch.tensor([128 / 120, 128 / 90]) - 0.5
    with torch.no_grad():
        output = model(pixel_values=pixels, input_points=point[None, None], input_labels=torch.tensor([[[1, 0]]]))
    best = int(output.iou_scores[0, 0].argmax())
    expected = torch.nn.functional.interpolate(output.pred_masks[0, 0, best][None, None], (90, 120), mode="bilinear")
    place, other = Selection(point=(30, 45)), Selection(point=(100, 60))
    logits, quality = segmenter.logits(rgb, place, [other])
    torch.testing.assert_close(logits, expected[0, 0], atol=1e-4, rtol=1e-4)
    assert quality == pytest.approx(float(output.iou_scores.max().clamp(0, 1)), abs=1e-5)
    if quality < 0.2 or not bool((logits > 0).any()):
        with pytest.raises(InputError, match="shows nothing that the segmenter knows"):
            segmenter(rgb, place, [other])
    else:
        assert segmenter(rgb, place, [other]).confidence == pytest.approx(quality, abs=1e-5)


def test_a_sure_mask_is_taken_and_an_unsure_one_refused(segmenter: Sam2Segmenter, monkeypatch) -> None:
    rgb, place = _picture(), Selection(point=(30, 45))
    disc = torch.full((90, 120), -5.0)
    disc[20:70, 10:60] = 5.0
    monkeypatch.setattr(Sam2Segmenter, "logits", lambda *_: (disc, 0.9))
    found = segmenter(rgb, place)
    assert found.confidence == 0.9
    assert ((found.alpha > 0.5) == (disc > 0).numpy()).mean() > 0.95
    monkeypatch.setattr(Sam2Segmenter, "logits", lambda *_: (disc, 0.1))
    with pytest.raises(InputError, match="give a box around the object"):
        segmenter(rgb, place)


def test_the_point_the_box_and_the_others_reach_the_network(segmenter: Sam2Segmenter) -> None:
    place, box = Selection(point=(30, 45)), Selection(box=(10, 20, 60, 80))
    others = [Selection(point=(100, 60))]
    alone, among = (segmenter._prompts(place, each, 120, 90) for each in ([], others))
    assert alone["input_labels"].tolist() == [[[1]]]
    assert among["input_labels"].tolist() == [[[1, 0]]]
    boxed = segmenter._prompts(box, others, 120, 90)
    torch.testing.assert_close(boxed["input_boxes"][0, 0, 2] + 0.5, torch.tensor(64.0))
    assert boxed["input_labels"].tolist() == [[[0]]]
    with torch.no_grad():
        pixels = segmenter.preprocessor(torch.rand(1, 3, 90, 120))
        masks = [segmenter.model(pixel_values=pixels, **prompt).pred_masks for prompt in (alone, among, boxed)]
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])


def test_a_network_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of weights"):
        Sam2Segmenter.from_folder(tmp_path / "nowhere")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    source = {".": Source("facebook/sam2.1-hiera-tiny", "0" * 40)}
    make_manifest("sam2", "Apache-2.0", source, tmp_path).save(tmp_path)
    Sam2Segmenter.from_folder(tmp_path)
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match=r"SHA-256 of model\.safetensors"):
        Sam2Segmenter.from_folder(tmp_path)
    (tmp_path / "mvdiff_weights.json").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(InputError, match="auto_map"):
        Sam2Segmenter.from_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle"):
        Sam2Segmenter.from_folder(tmp_path)


def test_two_places_on_one_object_are_refused() -> None:
    picture = np.full((80, 80, 3), 255, np.uint8)
    picture[20:60, 20:60] = (200, 30, 30)
    with pytest.raises(InputError, match="same object"):
        select_objects(picture, [Selection(box=(15, 15, 65, 65)), Selection(box=(16, 16, 66, 66))])
    one = select_objects(picture, [Selection(point=(40, 40))])[0]
    assert one.matte.method == "selected"
    assert "No segmenter" in one.matte.warnings[0]
