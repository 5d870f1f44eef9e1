"""Windows by rows and columns are those of a square."""

import pytest
import torch

from recon.ops.windows import max_pool_window, min_pool_window


@pytest.mark.parametrize("reach", [1, 3])
def test_extremes_are_those_of_the_square(reach):
    pictures = torch.randn(2, 3, 11, 17, generator=torch.Generator().manual_seed(0))
    pictures[0, 0, :4] = torch.inf
    square = 2 * reach + 1
    greatest = torch.nn.functional.max_pool2d(pictures, square, 1, reach)
    assert torch.equal(max_pool_window(pictures, reach), greatest)
    assert torch.equal(min_pool_window(pictures, reach), -torch.nn.functional.max_pool2d(-pictures, square, 1, reach))
