"""Blocks and resampling: shapes, shortcuts, and no grid before training."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from glc.networks.blocks import DepthwiseBlock, Downsample, PlainBlock, Upsample, equal_phases


@pytest.mark.parametrize("block", [DepthwiseBlock, PlainBlock])
def test_blocks_keep_the_shape_and_start_near_the_identity(block):
    torch.manual_seed(0)
    x = torch.randn(2, 8, 5, 3)
    y = block(8)(x)
    assert y.shape == x.shape
    assert (y - x).square().mean() < 0.2 * x.square().mean()


@pytest.mark.parametrize(("entering", "leaving"), [(8, 8), (8, 16), (8, 12), (16, 8), (6, 5)])
def test_resampling_shapes(entering, leaving):
    x = torch.randn(2, entering, 6, 10)
    assert Downsample(entering, leaving)(x).shape == (2, leaving, 3, 5)
    assert Upsample(entering, leaving)(x).shape == (2, leaving, 12, 20)


def test_the_shortcuts_undo_each_other():
    x = torch.randn(1, 8, 3, 5)
    up, down = Upsample(8, 8), Downsample(8, 8)
    for layer in (up.mix, down.mix):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    torch.testing.assert_close(down(up(x)), x)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [1, 3])
def test_equal_phases_leave_no_grid(factor, size):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 3 * factor * factor, size, padding=size // 2)
    equal_phases(conv, factor)
    y = functional.pixel_shuffle(conv(torch.randn(2, 6, 5, 7)), factor)
    blocks = functional.pixel_unshuffle(y, factor).unflatten(1, (3, factor * factor))
    assert torch.equal(blocks, blocks[:, :, :1].expand_as(blocks))
    assert blocks.std() > 0


@pytest.mark.parametrize(("entering", "leaving"), [(6, 6), (12, 6), (24, 6)])
def test_a_whole_upsampling_layer_starts_without_a_grid(entering, leaving):
    torch.manual_seed(0)
    layer = Upsample(entering, leaving)
    x = torch.randn(1, entering, 4, 4)
    blocks = functional.pixel_unshuffle(layer(x), 2).unflatten(1, (leaving, 4))
    torch.testing.assert_close(blocks, blocks[:, :, :1].expand_as(blocks))
    nn.init.zeros_(layer.mix.weight)
    nn.init.zeros_(layer.mix.bias)
    averages = x.unflatten(1, (leaving, -1)).mean(dim=2)
    torch.testing.assert_close(
        layer(x), functional.interpolate(averages, scale_factor=2, mode="nearest")
    )
