"""What is saved is loaded again, and what cannot be loaded is named."""

import json
import zipfile

import numpy as np
import pytest
import torch
from posterior_shapes import SMALL, ball, field_ball, views

from recon.core.errors import InputError
from recon.posterior import Posterior, load_hypothesis, load_posterior, save_hypothesis, save_posterior


def test_saved_and_loaded_says_the_same(tmp_path) -> None:
    hypotheses = [
        ball(0.2 + 0.05 * i, seed=10 + i, elevation=5.0 * i, residual=0.1, views=views(1.0, 1.0)) for i in range(3)
    ]
    posterior = Posterior.from_hypotheses(hypotheses, SMALL)
    path = save_posterior(posterior, tmp_path)
    assert path.name == "posterior.npz"
    loaded = load_posterior(tmp_path)
    assert loaded.summary() == posterior.summary()
    assert torch.equal(loaded.probability, posterior.probability)
    assert torch.equal(loaded.median.vertices, posterior.median.vertices)
    assert loaded.shell(0.5).vertices.norm(dim=-1).mean() == pytest.approx(0.25, abs=5e-3)
    assert torch.allclose(loaded.views.alpha_mean, posterior.views.alpha_mean, atol=1e-3)
    with np.load(path, allow_pickle=False) as file:
        assert file["probability"].shape == (40, 40, 40)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_damaged_files_are_named(tmp_path, content: bytes) -> None:
    (tmp_path / "posterior.npz").write_bytes(content)
    with pytest.raises(InputError, match="no readable posterior"):
        load_posterior(tmp_path)
    with pytest.raises(InputError, match="There is no posterior"):
        load_posterior(tmp_path / "other")


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("mvdiff-posterior/1", "earlier version: run the same generate command again with --overwrite"),
        ("mvdiff-posterior/999", "another version"),
    ],
)
def test_files_of_other_versions_say_what_to_do(tmp_path, form: str, told: str) -> None:
    path = save_posterior(Posterior.from_hypotheses([ball(0.2, seed=1), ball(0.25, seed=2)], SMALL), tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays.pop("header").tobytes())
    assert header["format"] == "mvdiff-posterior/2"
    header = {"format": form, "extent": header["extent"]}
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    with pytest.raises(InputError, match=told):
        load_posterior(tmp_path)


def test_hypotheses_are_saved_and_loaded(tmp_path) -> None:
    hypothesis = ball(0.3, seed=2**50, weight=2.0, elevation=7.5, sdf=field_ball(0.3, 24), extent=0.6)
    path = save_hypothesis(hypothesis, tmp_path / "000.npz")
    assert {entry.compress_type for entry in zipfile.ZipFile(path).infolist()} == {zipfile.ZIP_STORED}
    loaded = load_hypothesis(path)
    assert torch.equal(loaded.sdf, hypothesis.sdf)
    assert torch.equal(loaded.mesh.vertices, hypothesis.mesh.vertices)
    assert torch.equal(loaded.mesh.colors, hypothesis.mesh.colors)
    known = ("extent", "seed", "weight", "elevation", "residual")
    assert [getattr(loaded, name) for name in known] == [getattr(hypothesis, name) for name in known]
    with pytest.raises(InputError, match="another version"):
        load_posterior(tmp_path / "000.npz")
