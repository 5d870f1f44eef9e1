"""DINOv2 features: preprocessing as the processor's, a place in registration, semantic novelty."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_helpers import tiny_dinov2

from mvdiff.helpers.dinov2 import Dinov2Encoder
from mvdiff.helpers.semantic_novelty import KnownPhotos, Likeness, encode
from mvdiff.runs.folder import FolderStore
from mvdiff.sampling.reference import ReferenceImage
from recon.core.errors import InputError
from recon.io.images.matting import MatteReport


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_dinov2(tmp_path_factory.mktemp("dinov2"))


def _reference(seed: int, color: tuple[float, float, float] = (0.8, 0.3, 0.2)) -> ReferenceImage:
    """A blob of roughly one color."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    alpha = ((x**2 + y**2) < 0.5 + 0.05 * torch.rand((), generator=generator)).float()
    rgb = (torch.tensor(color)[:, None, None] + 0.03 * torch.randn(3, 64, 64, generator=generator)).clamp(0, 1)
    return ReferenceImage(torch.cat([rgb * alpha, alpha[None]]), (0.0, 0.0, 64.0), (64, 64), MatteReport("alpha", 1.0))


def test_features_equal_a_call_by_hand_without_a_connection(folder: Path, monkeypatch) -> None:
    from transformers import BitImageProcessorPil, Dinov2Model

    def refused(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refused)
    encoder = Dinov2Encoder.from_folder(folder)
    rgb = np.random.default_rng(0).integers(0, 255, (56, 56, 3)).astype(np.uint8)
    picture = torch.cat([torch.from_numpy(rgb).permute(2, 0, 1).float() / 255, torch.ones(1, 56, 56)])[None]
    own = encoder.preprocessor(picture[:, :3], 14)
    processor = BitImageProcessorPil.from_pretrained(folder, local_files_only=True, do_resize=False)
    pixels = processor(Image.fromarray(rgb), return_tensors="pt").pixel_values
    torch.testing.assert_close(own, pixels, atol=1e-5, rtol=0)
    model = Dinov2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    with torch.no_grad():
        tokens = model(pixel_values=pixels).last_hidden_state
    expected = torch.cat(
        [torch.nn.functional.normalize(part, dim=-1) for part in (tokens[:, 0], tokens[:, 1:].mean(1))], -1
    )
    torch.testing.assert_close(encoder(picture), expected, atol=1e-5, rtol=0)


def test_what_is_transparent_does_not_change_the_features(folder: Path) -> None:
    encoder = Dinov2Encoder.from_folder(folder)
    reference = _reference(0)
    painted = reference.rgba.clone()
    painted[:3] += (1 - painted[3]) * 0.7  # straight color beyond the silhouette
    same = ReferenceImage(painted, reference.crop, reference.source_size, reference.matte)
    torch.testing.assert_close(encode(encoder, reference), encode(encoder, same), atol=1e-5, rtol=0)
    pictures = torch.stack([_reference(k).rgba for k in range(5)])
    whole, parts = encoder(pictures), Dinov2Encoder(encoder.model, encoder.preprocessor, chunk=2)(pictures)
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)


def test_an_unlike_photo_is_novel_and_a_like_one_is_not(folder: Path, tmp_path: Path) -> None:
    encoder = Dinov2Encoder.from_folder(folder)
    known = KnownPhotos.of(encoder, [_reference(k) for k in range(19)])
    assert known.p_value(encoder, _reference(77, (0.1, 0.2, 0.9))) == pytest.approx(1 / 20)
    p_values = [known.p_value(encoder, _reference(100 + k)) for k in range(8)]
    assert np.mean(p_values) > 0.25
    loaded = KnownPhotos.load(known.save(tmp_path / "known.safetensors"))
    assert torch.equal(loaded.features, known.features)
    with pytest.raises(InputError, match="at least 5 known photos"):
        KnownPhotos.of(encoder, [_reference(0)])
    (tmp_path / "broken.safetensors").write_bytes(b"none")
    with pytest.raises(InputError, match="make it again"):
        KnownPhotos.load(tmp_path / "broken.safetensors")


def test_a_run_states_how_unlike_known_photos_its_photo_is(folder: Path, run, photo: Path, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.mkdir()
    for k in range(5):
        _reference(k).picture().save(known / f"{k}.png")
    command = ("generate", photo, "--num-hypotheses", 1, "--num-inference-steps", 1, "--candidates", 1, "--json")
    code, text, error = run(*command, "--output-dir", tmp_path / "out", "--features", folder, "--known-photos", known)
    assert code == 0, error
    found = json.loads(text)["runs"][0]["summary"]["semantic_novelty"]
    assert found["known"] == 5
    assert found["p_value"] == pytest.approx(1 / 6)  # a mug among blobs
    result = FolderStore.open(tmp_path / "out").load_result()
    assert result.likeness == Likeness(**found)
    for options, words in (
        (("--known-photos", known), "pass --features FOLDER"),
        (("--features", folder), "has no such option: leave out --features"),
    ):
        code, _, error = run(*command, "--output-dir", tmp_path / "other", *options)
        assert code == 2
        assert words in error


def test_unlike_photos_are_warned_of() -> None:
    assert Likeness(0.05, 19).warnings
    assert not Likeness(0.06, 19).warnings
