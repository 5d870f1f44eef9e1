"""Estimators of a photo's geometry: conventions by a sphere, random weights through every class, refusals."""

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_helpers import sphere_maps, sphere_moge, tiny_depth_anything, tiny_marigold

from mvdiff.helpers.depth_anything import DepthAnything
from mvdiff.helpers.geometry import ImageGeometry, in_crop, normals_of_points, with_lens
from mvdiff.helpers.marigold import MarigoldConfig, MarigoldNormals
from mvdiff.helpers.moge import MogeGeometry
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.conventions import normals_to_opencv
from recon.core.errors import InputError
from recon.io.images.matting import MatteReport

RGB = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)


def _reference(crop: tuple[float, float, float], size: tuple[int, int] = (128, 96)) -> ReferenceImage:
    return ReferenceImage(torch.ones(4, 32, 32), crop, size, MatteReport("alpha", 1.0))


def test_moge_gives_the_true_sphere_from_a_point_map_without_focal_length_and_shift(tmp_path: Path) -> None:
    points, normal, mask = sphere_maps(96, 128)
    found = MogeGeometry.from_file(sphere_moge(tmp_path / "moge.onnx"))(RGB)
    assert found.fov == pytest.approx(50.0, abs=0.1)
    assert found.metric
    torch.testing.assert_close(found.values, points[2], atol=5e-3, rtol=0)
    torch.testing.assert_close(found.normal * mask, normal, atol=1e-5, rtol=0)
    assert torch.equal(found.confidence > 0, mask > 0)


@pytest.mark.parametrize("flip", [(1.0, -1.0, -1.0), (1.0, 1.0, -1.0)])
def test_a_graph_with_other_axes_is_refused(tmp_path: Path, flip: tuple[float, float, float]) -> None:
    moge = MogeGeometry.from_file(sphere_moge(tmp_path / "moge.onnx", flip))
    with pytest.raises(InputError, match="contradict its points"):
        moge(RGB)


def test_files_that_are_not_moge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        MogeGeometry.from_file(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(InputError, match="no graph that onnxruntime can read"):
        MogeGeometry.from_file(tmp_path / "text.onnx")
    path = sphere_moge(tmp_path / "moge.onnx")
    with pytest.raises(InputError, match="SHA-256"):
        MogeGeometry.from_file(path, "0" * 64)
    import onnx

    graph = onnx.load(path)
    graph.graph.output[0].name = graph.graph.node[4].output[0] = "cloud"
    onnx.save(graph, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="lacks points"):
        MogeGeometry.from_file(tmp_path / "other.onnx")


def test_normals_of_a_sphere_face_the_viewer_in_opencv_axes() -> None:
    points, normal, mask = sphere_maps(96, 128)
    inside = (torch.nn.functional.avg_pool2d(mask[None, None], 3, 1, 1)[0, 0] > 0.999) & (normal[2] < -0.3)
    assert float((normals_of_points(points) * normal).sum(0)[inside].min()) > 0.98
    assert float(normal[2][mask > 0].max()) < 0.1
    upper, left = normal[:, 30, 70], normal[:, 45, 55]
    assert upper[1] < 0  # y points down: the upper part of the sphere faces up
    assert left[0] < 0


def test_marigold_axes_are_right_up_and_towards_the_viewer() -> None:
    """Marigold paints the upper part of a sphere with y > 0, and what faces the viewer with z > 0."""
    _, normal, _ = sphere_maps(96, 128)
    marigold = normal * torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    assert marigold[1, 30, 70] > 0
    assert marigold[2, 45, 70] > 0
    torch.testing.assert_close(normals_to_opencv(marigold, "opengl"), normal)
    with pytest.raises(ValueError, match="camera convention"):
        normals_to_opencv(normal, "marigold")


@pytest.fixture(scope="module")
def marigold(tmp_path_factory) -> Path:
    return tiny_marigold(tmp_path_factory.mktemp("marigold"))


def test_marigold_gives_unit_normals_with_the_spread_of_its_ensemble(marigold: Path, monkeypatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _refused)
    config = MarigoldConfig(steps=1, ensemble=3, resolution=64)
    estimator = MarigoldNormals.from_folder(marigold, config=config)
    found = estimator(RGB)
    assert found.values is None
    assert found.normal.shape == (3, 96, 128)
    torch.testing.assert_close(found.normal.norm(dim=0), torch.ones(96, 128), atol=1e-4, rtol=0)
    assert 0 < float(found.confidence.min()) < float(found.confidence.max()) <= 1
    state = torch.random.get_rng_state()
    torch.manual_seed(99)
    again = estimator(RGB)
    torch.random.set_rng_state(state)
    assert torch.equal(found.normal, again.normal)
    assert set(estimator.record) == {"name", "files", "settings"}
    upright = estimator.pipeline(
        _picture(),
        num_inference_steps=1,
        ensemble_size=3,
        processing_resolution=64,
        generator=torch.Generator().manual_seed(0),
        output_type="pt",
        output_uncertainty=True,
    ).prediction[0]
    torch.testing.assert_close(found.normal[0], upright[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.normal[1:], -upright[1:], atol=1e-5, rtol=0)


def _picture():
    from PIL import Image

    return Image.fromarray(RGB)


def _refused(*_: object) -> None:
    raise AssertionError("a connection was tried")


def test_marigold_without_an_ensemble_is_refused(marigold: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 draws"):
        MarigoldNormals.from_folder(marigold, config=MarigoldConfig(ensemble=2))
    with pytest.raises(InputError, match="no folder of weights"):
        MarigoldNormals.from_folder(tmp_path / "nowhere")


def test_depth_anything_equals_a_call_by_hand(tmp_path: Path, monkeypatch) -> None:
    from transformers import DepthAnythingForDepthEstimation, DPTImageProcessorPil

    folder = tiny_depth_anything(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", _refused)
    found = DepthAnything.from_folder(folder)(RGB)
    processor = DPTImageProcessorPil.from_pretrained(folder, local_files_only=True)
    pixels = processor(_picture(), return_tensors="pt").pixel_values
    model = DepthAnythingForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    with torch.no_grad():
        expected = model.eval()(pixel_values=pixels).predicted_depth[:, None]
    expected = torch.nn.functional.interpolate(expected, (96, 128), mode="bicubic")[0, 0]
    assert found.kind == "disparity"
    assert pixels.shape[-2:] == (56, 70)
    spread = float(expected.std())
    assert float((found.values - expected).abs().mean()) < 0.05 * spread  # Pillow's bicubic filter works on bytes


def test_a_crop_beside_the_middle_is_seen_by_a_camera_that_aims_at_it() -> None:
    points, normal, mask = sphere_maps(96, 128)
    geometry = ImageGeometry("depth", points[2], normal, mask, 50.0, metric=True)
    lens = 0.5 * 96 / np.tan(np.radians(25))
    x, y, half = 64 + lens * 0.3 / 4, 48 - lens * 0.2 / 4, 32.0
    crop = in_crop(geometry, _reference((x - half, y - half, 2 * half)), 64)
    inside = torch.nn.functional.avg_pool2d(crop.confidence[None, None], 5, 1, 2)[0, 0] > 0.999
    # Seen along its own axis a sphere is symmetric, its nearest point in the middle.
    center = float(np.linalg.norm([0.3, -0.2, 4.0]))
    assert crop.normal is not None
    assert crop.values is not None
    torch.testing.assert_close(
        crop.normal[:, 31:33, 31:33].mean((1, 2)), torch.tensor([0.0, 0.0, -1.0]), atol=0.02, rtol=0
    )
    assert float(crop.values[31:33, 31:33].mean()) == pytest.approx(center - 1, abs=0.01)
    both = inside & inside.flip(1)
    assert float((crop.values - crop.values.flip(1))[both].abs().max()) < 0.05


def test_a_lens_prior_keeps_the_projected_size() -> None:
    camera = PhotoCamera.from_parameters(torch.tensor([[0.3, 0.0, 0.0, -0.1]]))
    reference = _reference((20.0, 10.0, 60.0))
    near, far = (with_lens(camera, reference, fov) for fov in (60.0, 15.0))
    assert float(near.distance) < float(far.distance)
    lens = 0.5 * 96 / np.tan(np.radians(7.5))
    assert lens * 0.5 / float(far.distance) == pytest.approx(float(camera.log_scale.exp()) * 30, rel=1e-5)
    assert torch.equal(far.log_scale, camera.log_scale)
