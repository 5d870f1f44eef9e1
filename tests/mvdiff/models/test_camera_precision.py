"""Cameras of the networks in 16 bits and under autocast: their arithmetic stays in 32 bits."""

import pytest
import torch

from mvdiff.models.cameras import camera_tensors, patch_centers, pluecker_rays, projections
from recon.core.cameras import Cameras


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("c2w_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lens_dtype", [torch.float32, torch.bfloat16])
def test_mixed_precisions_meet(autocast: bool, c2w_dtype: torch.dtype, lens_dtype: torch.dtype):
    c2w, lens = camera_tensors(Cameras.orbit(torch.tensor([[10.0, 80.0]]), 20.0))
    points = patch_centers(4, torch.device("cpu"))
    exact = pluecker_rays(c2w, lens, points)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        rays = pluecker_rays(c2w.to(c2w_dtype), lens.to(lens_dtype), points)
        forth, back = projections(c2w.to(c2w_dtype), lens.to(lens_dtype))
    assert rays.dtype == forth.dtype == back.dtype == torch.float32
    assert torch.allclose(rays, exact, atol=0.03)
    if c2w_dtype == lens_dtype == torch.float32:
        assert torch.equal(rays, exact)
        assert torch.allclose(forth @ back, torch.eye(4).expand_as(forth), atol=1e-5)
