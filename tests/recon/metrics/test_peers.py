"""Metrics against libraries that have the same ones."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.stats import spearmanr

from recon.core.mesh import TexturedMesh
from recon.metrics.image import psnr, ssim
from recon.metrics.probabilistic import auroc, brier_score, expected_calibration_error, spearman
from recon.metrics.shape import volume_iou
from recon.ops.voxelize import winding_inside
from recon.posterior import VoxelGrid

torchmetrics = pytest.importorskip("torchmetrics", reason="needs torchmetrics")


def turned_box(extents, shift, degrees: float) -> trimesh.Trimesh:
    mesh = trimesh.creation.box(extents)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.radians(degrees), (1, 2, 3)))
    mesh.apply_translation(shift)
    return mesh


def ball(radius: float, x: float) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(3, radius)
    mesh.apply_translation((x, 0.01, -0.02))
    return mesh


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (turned_box((0.6, 0.4, 0.5), (0, 0, 0), 20), turned_box((0.5, 0.5, 0.3), (0.1, 0.05, 0), -35)),
        (ball(0.35, 0.0), ball(0.3, 0.2)),
        (ball(0.3, -0.1), turned_box((0.4, 0.4, 0.4), (0.05, 0, 0), 15)),
    ],
    ids=["boxes", "balls", "ball and box"],
)
def test_volume_iou_is_that_of_exact_booleans(one: trimesh.Trimesh, other: trimesh.Trimesh) -> None:
    shared = trimesh.boolean.intersection([one, other], engine="manifold").volume
    exact = shared / trimesh.boolean.union([one, other], engine="manifold").volume
    grid = VoxelGrid(torch.zeros(3), 0.5, 96)
    inside = [winding_inside(TexturedMesh.from_arrays(mesh.vertices, mesh.faces), grid) for mesh in (one, other)]
    assert 0.2 < exact < 0.8
    assert volume_iou(*inside) == pytest.approx(exact, abs=5e-3)


def test_picture_metrics_are_those_of_torchmetrics() -> None:
    smooth = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 10), size=(48, 60), mode="bicubic").clamp(0, 1)
    noisy = (smooth + torch.tensor([0.02, 0.1, 0.4])[:, None, None, None] * torch.randn_like(smooth)).clamp(0, 1)
    structure = torchmetrics.image.StructuralSimilarityIndexMeasure(
        data_range=1.0, sigma=1.5, reduction="none", return_full_image=True
    )
    # It counts a mirrored border too; the paper's mean is of windows that lie inside.
    inner = structure(noisy, smooth)[1][..., 5:-5, 5:-5].mean((1, 2, 3))
    assert torch.allclose(ssim(noisy, smooth), inner, atol=1e-4)
    noise = torchmetrics.image.PeakSignalNoiseRatio(data_range=1.0, reduction="none", dim=(1, 2, 3))
    assert torch.allclose(psnr(noisy, smooth), noise(noisy, smooth), atol=1e-3)


@pytest.mark.parametrize("bins", [5, 20])
def test_calibration_error_is_that_of_torchmetrics(bins: int) -> None:
    p = torch.rand(5000)
    y = torch.rand(5000) < p**2
    peer = torchmetrics.classification.BinaryCalibrationError(n_bins=bins, norm="l1")
    assert expected_calibration_error(p, y, bins) == pytest.approx(float(peer(p, y.long())), abs=1e-4)
    assert brier_score(p, y) == pytest.approx(float(torchmetrics.functional.mean_squared_error(p, y.float())), abs=1e-5)
    area = torchmetrics.functional.auroc(p, y.long(), task="binary")
    assert auroc(p[y], p[~y]) == pytest.approx(float(area), abs=1e-5)


def test_rank_correlation_is_that_of_scipy() -> None:
    error = torch.rand(400)
    uncertainty = ((error + torch.rand(400)) * 10).round()  # with ties
    assert spearman(error, uncertainty) == pytest.approx(spearmanr(error.numpy(), uncertainty.numpy()).statistic)
