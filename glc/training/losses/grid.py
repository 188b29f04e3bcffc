"""Losses on what perceptual networks hardly see: grids, and the colour of an area.

Knows nothing of networks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PERIODS = ((4, 32), (8, 64), (16, 64))
"""Period of a grid and side of the window in which it is looked for, both in pixels: upsampling
layers leave patterns of 4 and 8 pixels, the latent those of 16."""

COLOUR_SIDE = 16
"""Pixels a side of the areas whose colour is compared: those of one position of the latent."""

SEGMENT = 128
"""Pixels per segment whose spectrum ``line_loss`` takes."""

_SHORTFALL = 0.5
"""Weight of a line that is weaker than the original's against one that is stronger."""

_JUST_SEEN = (4 / 127.5) ** 2
"""Variance of a texture that hides half of an error, in [-1, 1]: four levels of 255."""

_LUMA = (0.299, 0.587, 0.114)


def grid_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error of the part of the error that repeats within a window, for each period.

    The error is folded: the tiles of each window are averaged, so that texture, which does not
    repeat, mostly cancels, while a grid stays whole. Times the number of tiles, an error without
    any structure counts as much as in a plain mean squared error. So this is a squared error on a
    few directions, and leaves all others to the perceptual losses.

    Args:
        x: (B, C, H, W), H and W multiples of 64.
        x_hat: same shape; gradients flow into it.

    Returns:
        (B,), in squared units of x.
    """
    error = (x_hat - x).float()
    total = error.new_zeros(len(x))
    for period, window in PERIODS:
        tiles = window // period
        folded = error.unflatten(3, (-1, tiles, period)).mean(dim=4)
        folded = folded.unflatten(2, (-1, tiles, period)).mean(dim=3)
        # (B, C, windows, period, windows, period); the mean of a window is colour, not grid.
        pattern = folded - folded.mean(dim=(3, 5), keepdim=True)
        total = total + tiles * tiles * pattern.square().flatten(1).mean(1)
    return total / len(PERIODS)


def area_loss(x: Tensor, x_hat: Tensor, side: int = 8) -> Tensor:
    """Mean absolute error of areas of ``side`` pixels: keeps colours, ignores texture. (B,)."""
    areas: Tensor = functional.avg_pool2d((x_hat - x).float(), side)
    return areas.abs().flatten(1).mean(1)


def colour_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """``area_loss`` of areas as large as a position of the latent. (B,)."""
    return area_loss(x, x_hat, COLOUR_SIDE)


def smooth_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """Squared error where the original is smooth: grain and false colour on skies, walls and skin.

    Each pixel counts ``c / (v + c)``, with v the variance of the original about it and ``c`` that
    of a texture just seen, since a texture hides error (masking, as in SSIM's contrast term, Wang
    et al., IEEE TIP 2004). Feature networks rate faint grain as texture, and a plain squared error
    hardly feels it beside that of lost detail.

    Args:
        x: (B, 3, H, W) in [-1, 1].
        x_hat: same shape; gradients flow into it.

    Returns:
        (B,), in squared units of x.
    """
    original = x.float()
    mean = _box(original)
    variance = (_box(original.square()) - mean.square()).clamp_min(0.0).mean(1, keepdim=True)
    share = _JUST_SEEN / (variance + _JUST_SEEN)
    weighted: Tensor = share * (x_hat.float() - original).square()
    return weighted.flatten(1).mean(1)


def _box(x: Tensor) -> Tensor:
    """Mean of 9 x 9 pixels, fewer at the border."""
    return functional.avg_pool2d(x, 9, 1, 4, count_include_pad=False)


def line_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    """How far spectral lines at multiples of 1/16 cycle per pixel stand out, beyond the original's.

    The lines of ``eval.metrics.grid``, differentiable and per line: a grid of tiny amplitude stands
    out where the spectrum is nearly empty, and a squared error does not see it there. Lines below
    the original's count half: were they free, training would push lines under their neighbourhood,
    which is a pattern too.

    Args:
        x: (B, 3, H, W) in [-1, 1], sides of at least 128.
        x_hat: same shape; gradients flow into it.

    Returns:
        (B,): mean deviation over lines and axes, in nats; 0 is clean.
    """
    rows = _line_levels(x_hat) - _line_levels(x).detach()
    columns = _line_levels(x_hat.transpose(2, 3)) - _line_levels(x.transpose(2, 3)).detach()
    excess = torch.stack([rows, columns])
    deviation: Tensor = torch.where(excess > 0, excess, -_SHORTFALL * excess)
    return deviation.mean(dim=(0, 2))


def _line_levels(x: Tensor) -> Tensor:
    """Log power at k/16 cycle per pixel against its neighbourhood: (B, 3, H, W) -> (B, 8)."""
    # Plain numbers: a tensor made of them would have the device copy it, and the host wait for it.
    red, green, blue = (127.5 * x.float()).unbind(1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    segments = luma.unfold(2, SEGMENT, SEGMENT // 2)
    window = torch.hann_window(SEGMENT, device=x.device)
    segments = (segments - segments.mean(dim=3, keepdim=True)) * window
    power = torch.fft.rfft(segments).abs().square().mean(dim=(1, 2))
    # The floor is what rounding to 8 bits adds: nobody can store less.
    level = (power + window.square().sum() / 12.0).log()
    level = torch.cat([level, level.flip(1)[:, 1:]], dim=1)
    lines = torch.arange(1, 9, device=x.device) * (SEGMENT // 16)
    near = (level[:, lines - 2] + level[:, lines + 2]) / 2.0
    far = (level[:, lines - 4] + level[:, lines + 4]) / 2.0
    return level[:, lines] - (4.0 * near - far) / 3.0
