"""A scene network of a few thousand parameters, with every other part real."""

import torch

from mvdiff.models import MultiViewTransformer


def tiny_scene_network(size: int = 32) -> MultiViewTransformer:
    """A transformer for square views of ``size`` pixels; zero-initialized layers get random values."""
    torch.manual_seed(0)
    shape = {"sample_size": size, "patch_size": 8, "reference_channels": 0, "width": 64, "depth": 2, "heads": 2}
    network = MultiViewTransformer(**shape, noise_groups=2, condition_channels=6).eval()
    for parameter in network.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return network
