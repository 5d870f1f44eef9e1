"""Networks of a few thousand parameters, with every other part real."""

import torch

from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator


def tiny_networks() -> tuple[MultiViewTransformer, PhotoCameraEstimator]:
    """A transformer for 32-pixel views and a camera estimator; zero-initialized layers get random values."""
    torch.manual_seed(0)
    transformer = MultiViewTransformer(sample_size=32, reference_size=32, width=64, depth=2, heads=2)
    for parameter in transformer.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return transformer.eval(), PhotoCameraEstimator(sample_size=32, width=32, depth=1, heads=2).eval()
