"""A new model as a transform codec: every linear part is set from pictures before the first step.

Principal components of lapped blocks, step sizes that give about the wanted rates, and least
squares for all that predicts or reconstructs. Takes about a minute of two cores; what the networks
add starts at zero. docs/decisions.md, section 18.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from glc.config import IMAGE_STRIDE, LATENT_STRIDE, QUALITY_MAX
from glc.effort.differentiable_rate import symbol_bits
from glc.entropy import ROWS, SIGMA_MAX, SIGMA_MIN
from glc.networks.context import STEP_CORNERS, STEPS, step_mask
from glc.networks.model import GlcModel
from glc.networks.quantize import round_from
from glc.training.data.crops import Pictures

__all__ = ["Start", "code_latents", "lapped_blocks", "set_means", "settle", "start_linear"]

_SIDE = 256
_CROPS = 160
_BATCH = 32
_OVERLAP_GAIN = 1.3
"""Of the mean across a block border: above 1 the windows are smoother, and the transform is no
longer orthogonal. Of 1, 1.3, 1.6 and 2 it gave the best rate and distortion."""
_RIDGE = 1e-3
_STEP_FIRST, _STEP_LAST = 900 / 127.5, 110 / 127.5
"""Step sizes of qualities 0 and 100 that the search for the wanted rates begins with."""
_SLOPE = 1.3
"""Rates fall about as the step to this power."""
_HEADROOM = 1.15
"""What the networks are expected to save of the rate."""
_LOW_PASS_UNIT = 16.0 * math.sqrt(3.0)
"""A constant picture of 1 has a first component of so much."""
_COLOURS = 3
"""Digits of z that are the mean colour; what follows is activity."""
_ROUNDS = (40, 60)
"""Steps that means and scales take at the first step sizes, which only have to give about the
right rates, and at those that stay."""
_SPREAD = 0.8
"""Standard deviation of a digit of z before its tanh: all levels are then in use."""


@dataclass(frozen=True)
class Start:
    """What the transform codec does on the crops it was made from, one value per quality anchor."""

    qualities: tuple[int, ...]
    bpp: tuple[float, ...]
    psnr_db: tuple[float, ...]
    rate_weights: tuple[float, ...]
    """Per bit per pixel, against a squared error in units of [-1, 1]: what such a quantiser asks
    for at these step sizes."""

    def __str__(self) -> str:
        points = zip(self.qualities, self.bpp, self.psnr_db, strict=True)
        return ", ".join(f"q{q} {bpp:.4f} bpp {psnr:.2f} dB" for q, bpp, psnr in points)


@torch.no_grad()
def start_linear(
    model: GlcModel, pictures: Pictures, bpp_low: float, bpp_high: float, seed: int = 1
) -> Start:
    """Set all linear parts of a new model of architecture 2.

    Args:
        model: freshly made, in memory or on a device; changed in place.
        pictures: training pictures.
        bpp_low: wanted rate at quality 0, in bits per pixel.
        bpp_high: wanted rate at quality 100; between them it is geometric.
        seed: of the crops.

    Returns:
        Rate and PSNR at the qualities of the anchors.

    Raises:
        ValueError: the model is of architecture 1.
    """
    if not model.config.linear:
        raise ValueError("a linear start needs a model of architecture 2")
    generator = torch.Generator().manual_seed(seed)
    side = min(_SIDE, pictures.smallest_side // IMAGE_STRIDE * IMAGE_STRIDE)
    count = _CROPS * (_SIDE // side) ** 2
    x = torch.cat(
        [pictures.crops(_BATCH, side, 2.0, generator) for _ in range(-(-count // _BATCH))]
    )
    anchors = model.config.quality_anchors
    share = torch.linspace(0.0, 1.0, anchors)
    steps = (math.log(_STEP_FIRST) + math.log(_STEP_LAST / _STEP_FIRST) * share).exp()
    wanted = (math.log(bpp_low) + math.log(bpp_high / bpp_low) * share).exp() * _HEADROOM

    _set_transform(model, x)
    # The networks beside the linear maps say nothing yet, and need not be asked.
    l = torch.cat([_transformed(model, part) for part in x.split(_BATCH)])
    few = min(len(x), _BATCH // 2)
    for last in (False, True):
        crops = len(x) if last else len(x) // 2
        _set_gains(model, steps)
        _set_low_pass(model, x[:crops], l[:crops])
        quality = (torch.arange(crops) % anchors * (QUALITY_MAX // (anchors - 1))).to(l.device)
        if not last:
            _set_activity(model, l[:crops], quality)
        _set_context(model, l[:crops], quality, scales=not last)
        each = 2 if last else 1
        _learn_rate(model, l, wanted.to(l.device), generator, _ROUNDS[last], each)
        if not last:
            bpp = torch.stack([_quantise(model, l[:few], q)[1].mean() for q in _anchors(model)])
            steps = steps * (bpp.cpu() / wanted).clamp(0.25, 4.0) ** (1.0 / _SLOPE)
            # A longer step for a better quality would make qualities change places.
            steps = steps.cummin(0).values
    _set_synthesis(model, x, l)
    if model.config.two_decoders:
        coded, _ = code_latents(model, l, QUALITY_MAX // 2)
        set_means(model, coded, functional.avg_pool2d(x, LATENT_STRIDE))
    return _measure(model, x[:_BATCH], l[:_BATCH], steps)


def lapped_blocks(x: Tensor) -> Tensor:
    """Return 16 x 16 blocks of pictures whose block borders were smoothed by a pre-filter.

    Time-domain lapped transform (Tran, Liang and Tu, IEEE TSP 2003): a transform of these blocks
    is a transform of overlapping windows of 32 pixels of the picture.

    Args:
        x: (B, 3, 16h, 16w).

    Returns:
        (B, 768, h, w), channels in the order colour, row, column.
    """
    filtered = _along_columns(x)
    filtered = _along_columns(filtered.transpose(2, 3)).transpose(2, 3)
    return functional.pixel_unshuffle(filtered, LATENT_STRIDE)


def _along_columns(x: Tensor) -> Tensor:
    half = LATENT_STRIDE // 2
    kernel = torch.from_numpy(_pre_filter()).to(x)
    inner = x[..., half:-half].unflatten(-1, (-1, LATENT_STRIDE))
    return torch.cat([x[..., :half], (inner @ kernel.T).flatten(-2), x[..., -half:]], dim=-1)


def _pre_filter() -> NDArray[np.float64]:
    """Return the 16 x 16 matrix on the eight pixels before and after a block border."""
    half = LATENT_STRIDE // 2
    n = np.arange(half)
    dct2 = math.sqrt(2 / half) * np.cos(np.pi * np.outer(n, 2 * n + 1) / (2 * half))
    dct2[0] /= math.sqrt(2)
    dct4 = math.sqrt(2 / half) * np.cos(np.pi * np.outer(2 * n + 1, 2 * n + 1) / (4 * half))
    reverse, same, none = np.eye(half)[::-1], np.eye(half), np.zeros((half, half))
    gains = np.diag([_OVERLAP_GAIN, *np.ones(half - 1)])
    odd = reverse @ dct2.T @ gains @ dct4 @ reverse
    butterfly = np.block([[same, reverse], [reverse, -same]])
    found: NDArray[np.float64] = 0.5 * butterfly @ np.block([[same, none], [none, odd]]) @ butterfly
    return found


def _window() -> NDArray[np.float64]:
    """Return the pre-filter of one block as a matrix of its window: (16, 48)."""
    side, half, kernel = LATENT_STRIDE, LATENT_STRIDE // 2, _pre_filter()
    window = np.zeros((side, 3 * side))
    window[:half, half : half + side] = kernel[half:]
    window[half:, side + half : 2 * side + half] = kernel[:half]
    return window


def _set_transform(model: GlcModel, x: Tensor) -> None:
    """E becomes principal components of lapped blocks; all scales their deviations."""
    linear, channels = model.encoder.linear, model.config.latent_channels
    if linear is None:
        return
    # Block borders on the rim of a crop were not filtered.
    blocks = [lapped_blocks(part)[:, :, 1:-1, 1:-1] for part in x.split(_BATCH)]
    samples = torch.cat([part.permute(0, 2, 3, 1).flatten(0, 2) for part in blocks]).cpu()
    mean = samples.mean(0)
    covariance = torch.cov((samples - mean).T).double()
    strength, vectors = torch.linalg.eigh(covariance)
    components = vectors.flip(1)[:, :channels].T.reshape(channels, 3, LATENT_STRIDE, LATENT_STRIDE)
    window = torch.from_numpy(_window())
    kernels = torch.einsum("coab,ai,bj->coij", components, window, window)
    linear.conv.weight.copy_(_as_cells(kernels))
    if linear.conv.bias is not None:
        linear.conv.bias.copy_(-(components.flatten(1) @ mean.double()))
    deviation = strength.flip(0)[:channels].clamp_min(1e-8).sqrt()
    for part in (model.encoder, model.decoder, model.analysis, model.synthesis):
        part.scale.copy_(deviation)


def _transformed(model: GlcModel, x: Tensor) -> Tensor:
    """Return what E gives as long as its network says nothing."""
    linear = model.encoder.linear
    l: Tensor = model.encoder(x) if linear is None else linear(functional.pixel_unshuffle(x, 4))
    return l


def _reconstructed(model: GlcModel, l: Tensor) -> Tensor:
    """Return what D gives as long as its network says nothing."""
    linear = model.decoder.linear
    x_hat: Tensor = model.decoder(l) if linear is None else linear(l)
    return x_hat


def _as_cells(kernels: Tensor) -> Tensor:
    """Reorder (C, 3, 48, 48) pixels as ``LinearAnalysis`` sees them: (C, 768, 3, 3)."""
    parts = kernels.unflatten(3, (3, 4, 4)).unflatten(2, (3, 4, 4))
    # C, colour, block, cell row, row in cell, block, cell column, column in cell
    ordered = parts.permute(0, 1, 4, 7, 3, 6, 2, 5)
    cells: Tensor = ordered.flatten(1, 5)
    return cells


def _set_gains(model: GlcModel, steps: Tensor) -> None:
    log_step = steps.log()[:, None].to(model.analysis.gain.log_gain)
    model.analysis.gain.log_gain.copy_(-log_step.expand_as(model.analysis.gain.log_gain))
    model.synthesis.gain.log_gain.copy_(log_step.expand_as(model.synthesis.gain.log_gain))
    model.hyper_analysis.gain.log_gain.copy_(log_step.expand_as(model.hyper_analysis.gain.log_gain))
    low_pass = model.hyper_synthesis.low_pass_gain.log_gain
    low_pass.copy_(-log_step.expand_as(low_pass))


def _set_low_pass(model: GlcModel, x: Tensor, l: Tensor) -> None:
    """Make z the mean colour of 64 x 64 pixels and have h_s give it back at 1/16."""
    digits = len(model.config.hyper_levels)
    colour = _colour(functional.avg_pool2d(x, LATENT_STRIDE), digits)
    weight = _least_squares(_rows(l), _rows(colour))
    whole = functional.avg_pool2d(colour, 4)
    centre = whole.mean(dim=(0, 2, 3))
    spread = _SPREAD / whole.std(dim=(0, 2, 3)).clamp_min(1e-4)
    analysis, synthesis = model.hyper_analysis, model.hyper_synthesis
    analysis.low_pass.weight.copy_((weight[:-1].T * spread[:, None])[:, :, None, None])
    if analysis.low_pass.bias is not None:
        analysis.low_pass.bias.copy_((weight[-1] - centre) * spread)
    found = model.hyper_codebook(analysis.low_pass(functional.avg_pool2d(l, 4)))
    found[:, _COLOURS:] = 0.0
    # Each position of z and its neighbours give the 4 x 4 positions of l below it.
    target = functional.pixel_unshuffle(colour * _LOW_PASS_UNIT, 4)
    solved = _least_squares(_neighbours(found / 2.0), _rows(target))
    _fill(synthesis.low_pass, solved)


def _colour(x: Tensor, count: int) -> Tensor:
    """Brightness and two colour differences, and nothing more: (B, 3, h, w) -> (B, count, h, w)."""
    red, green, blue = x.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    axes = torch.stack([luma, blue - luma, red - luma], dim=1)[:, :count]
    missing = count - axes.shape[1]
    return functional.pad(axes, (0, 0, 0, 0, 0, missing)) if missing > 0 else axes


def _set_activity(model: GlcModel, l: Tensor, quality: Tensor) -> None:
    """Make the digits of z that are no colour say how much there is to code."""
    analysis = model.hyper_analysis
    first = min(len(model.config.hyper_levels), _COLOURS)
    parts = zip(l.split(_BATCH), quality.split(_BATCH), strict=True)
    y = torch.cat([model.analysis(part, q) for part, q in parts])
    features = analysis.features(y)
    spread = (l / model.encoder.scale[:, None, None]).square().mean(dim=1, keepdim=True)
    activity = functional.avg_pool2d(spread, 4).log()
    target = (activity - activity.mean()) * (_SPREAD / activity.std().clamp_min(1e-4))
    weight = _least_squares(_rows(features), _rows(target))
    for digit in range(first, len(model.config.hyper_levels)):
        analysis.head.weight[digit] = weight[:-1, 0][:, None, None]
        if analysis.head.bias is not None:
            analysis.head.bias[digit] = weight[-1, 0]


@torch.no_grad()
def settle(model: GlcModel, pictures: Pictures, steps: int, seed: int = 2) -> None:
    """Let means and scales catch up with networks that have stopped: a training run's last minutes.

    Nothing else changes, so the pictures stay what they are but for the mean of what is coded as
    nothing; what it saves is in docs/decisions.md, section 18.

    Args:
        model: trained, in evaluation mode; changed in place.
        pictures: training pictures.
        steps: how many; none changes nothing.
        seed: of the crops.
    """
    if steps < 1:
        return
    generator = torch.Generator().manual_seed(seed)
    side = min(_SIDE, pictures.smallest_side // IMAGE_STRIDE * IMAGE_STRIDE)
    count = 4 * _CROPS * (_SIDE // side) ** 2
    parts = [
        model.encoder(pictures.crops(_BATCH, side, 2.0, generator))
        for _ in range(-(-count // _BATCH))
    ]
    l = torch.cat(parts)
    few = min(len(l), _BATCH)
    wanted = torch.stack([_quantise(model, l[:few], q)[1].mean() for q in _anchors(model)])
    _learn_rate(model, l, wanted, generator, steps, each=1)


def _learn_rate(
    model: GlcModel, l: Tensor, wanted: Tensor, generator: torch.Generator, steps: int, each: int
) -> None:
    """Train what gives means and scales, and nothing else, to code these latents in fewer bits.

    Scales that follow what is decoded around are half of what a codec of this kind saves, and no
    closed form gives them.

    Args:
        model: changed in place.
        l: (N, C, h, w), latents of training crops.
        wanted: (K,) bits per pixel of the anchors, by which their rates are weighed.
        generator: on the CPU.
        steps: of Adam.
        each: crops per anchor and step.
    """
    parts = (model.hyper_analysis, model.hyper_synthesis, model.context, model.scale_map)
    weights = [p for part in parts for p in part.parameters() if p.requires_grad]
    bias = model.scale_map.bias
    scales = [p for p in model.scale_map.parameters() if p is not bias]
    rated = {id(p) for p in (*scales, bias)}
    # The linear maps are good already.
    fixed = {id(p) for m in model.context.linear or () for p in m.parameters()}
    fixed |= {id(p) for part in parts[:2] for p in part.low_pass.parameters()}
    others = [p for p in weights if id(p) not in rated | fixed]
    kept = [p for p in weights if id(p) in fixed]
    groups = [
        {"params": others, "lr": 1e-3, "peak": 1e-3},
        {"params": scales, "lr": 6e-3, "peak": 6e-3},
        {"params": [bias], "lr": 5e-2, "peak": 5e-2},
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.98))
    anchors = torch.tensor(_anchors(model), device=l.device)
    for parameter in kept:
        # Nobody needs their gradients, and they are the widest layers here.
        parameter.requires_grad_(False)
    with torch.enable_grad():
        for step in range(steps):
            share = min(1.0, (step + 1) / 10, 2.0 * (1.0 - step / steps))
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * share
            order = torch.randperm(len(l), generator=generator)
            chosen = order[: each * len(anchors)].to(l.device)
            drawn = torch.arange(len(chosen), device=l.device) % len(anchors)
            _, bpp = _quantise(model, l[chosen], anchors[drawn])
            optimiser.zero_grad(set_to_none=True)
            (bpp / wanted[drawn]).mean().backward()
            _keep_steps(model)
            optimiser.step()
    for parameter in kept:
        parameter.requires_grad_(True)
    for parameter in model.parameters():
        parameter.grad = None


def _keep_steps(model: GlcModel) -> None:
    """Forget how the steps would have to change: longer ones always cost fewer bits."""
    for head in model.context.heads:
        for parameter in head.parameters():
            if parameter.grad is not None:
                parameter.grad[model.config.y_channels :] = 0.0


def _set_context(model: GlcModel, l: Tensor, quality: Tensor, scales: bool = True) -> None:
    """Means become linear predictions of what is decoded around, scales those of what is left."""
    linear, scale_map = model.context.linear, model.scale_map
    if linear is None:
        return
    y = torch.cat(
        [
            model.analysis(part, q)
            for part, q in zip(l.split(_BATCH), quality.split(_BATCH), strict=True)
        ]
    )
    digits = model.hyper_codebook(model.hyper_analysis(y, quality))
    picture = model.hyper_synthesis(digits, quality)[:, -digits.shape[1] :]
    # Coarse qualities have small numbers; what counts is the error in the picture.
    steps = model.synthesis.gain(quality)
    weight = steps.mean(dim=1).sqrt().view(-1, 1, 1)
    y_hat, residual = torch.zeros_like(y), torch.zeros_like(y)
    _, channels, height, width = y.shape
    quarter = channels // 4
    for step in range(STEPS):
        seen = picture if step == 0 else torch.cat([picture, y_hat], dim=1)
        conv: nn.Conv2d = linear[step]  # type: ignore[assignment]
        for index, corner in enumerate(STEP_CORNERS[step]):
            own = slice(index * quarter, (index + 1) * quarter)
            given = _neighbours(seen, corner)
            target = _rows(y[:, own, corner // 2 :: 2, corner % 2 :: 2])
            factor = weight.expand(-1, height // 2, width // 2).reshape(-1, 1)
            solved = _least_squares(given, target, factor)
            _fill(conv, solved, own)
        mean = conv(seen)
        mask = step_mask(step, channels, height, width, y.device)
        left = (y - mean) * mask
        residual = residual + left
        y_hat = y_hat + mask * (mean + round_from(left, model.config.rounding))
    if not scales:
        return
    growth = math.log(SIGMA_MAX / SIGMA_MIN) / (ROWS - 2)
    for anchor, value in enumerate(_anchors(model)):
        own_crops = quality == value
        deviation = residual[own_crops].square().mean(dim=(0, 2, 3)).sqrt()
        rows = 1.0 + (deviation.clamp_min(1e-3) / SIGMA_MIN).log() / growth
        scale_map.bias[anchor].copy_(rows.clamp(-4.0, ROWS - 2.0))
    scale_map.weight.zero_()


def _anchors(model: GlcModel) -> list[int]:
    anchors = model.config.quality_anchors
    return [anchor * (QUALITY_MAX // (anchors - 1)) for anchor in range(anchors)]


def _quantise(model: GlcModel, l: Tensor, quality: int | Tensor) -> tuple[Tensor, Tensor]:
    """Quantise latents: y_hat (B, C, h, w) and estimated bits per pixel (B,).

    Gradients flow into what gives means and scales, and no further.
    """
    found, rates = [], []
    rounding = model.config.rounding
    levels = torch.full((len(l),), quality) if isinstance(quality, int) else quality
    for part, q in zip(l.split(_BATCH), levels.to(l.device).split(_BATCH), strict=True):
        with torch.no_grad():
            y = model.analysis(part, q)
        digits = model.hyper_codebook(model.hyper_analysis(y, q))
        coded: list[tuple[Tensor, Tensor]] = []

        def exchange(
            step: int,
            mean: Tensor,
            quant_step: Tensor,
            rows: Tensor,
            mask: Tensor,
            y: Tensor = y,
            coded: list[tuple[Tensor, Tensor]] = coded,
        ) -> Tensor:
            residual = (y - mean) / quant_step
            coded.append((residual * mask, rows * mask))
            return round_from(residual, rounding) * (mask & (rows.detach() > 0))

        found.append(model.code_symbols(digits, q, exchange, exact=False))
        # Every element belongs to one step, so that its bits are counted once, for all together.
        residuals, rows = (sum(of_step[1:], of_step[0]) for of_step in zip(*coded, strict=True))
        spent = symbol_bits(residuals, rows, rounding).flatten(1).sum(1)
        spent = spent + digits.shape[2] * digits.shape[3] * math.log2(model.config.hyper_size)
        rates.append(spent / (part.shape[2] * part.shape[3] * LATENT_STRIDE**2))
    return torch.cat(found), torch.cat(rates)


def code_latents(model: GlcModel, l: Tensor, quality: int) -> tuple[Tensor, Tensor]:
    """Code latents: l_hat (B, C, h, w) and estimated bits per pixel (B,)."""
    y_hat, bpp = _quantise(model, l, quality)
    levels = torch.full((len(l),), quality, device=l.device).split(_BATCH)
    parts = zip(y_hat.split(_BATCH), levels, strict=True)
    return torch.cat([model.synthesis(part, q) for part, q in parts]), bpp


def _set_synthesis(model: GlcModel, x: Tensor, l: Tensor) -> None:
    """D becomes the linear map of coded latents with the least squared error, at quality 100.

    One that is fitted to all qualities smooths as the coarsest ask for, and the finest lose more
    than a decibel by it.
    """
    l_hat, _ = code_latents(model, l, QUALITY_MAX)
    blocks = functional.pixel_unshuffle(x, LATENT_STRIDE)
    linear = model.decoder.linear
    if linear is None:
        return
    inner = slice(1, -1)
    given = _neighbours(l_hat, None)
    solved = _least_squares(given, _rows(blocks[:, :, inner, inner]))
    _fill(linear.conv, solved)


def set_means(model: GlcModel, l_hat: Tensor, means: Tensor) -> None:
    """Fit the mean colours of the realistic decoder, if there is one, by least squares.

    Args:
        model: changed in place.
        l_hat: (B, C_l, h, w), coded at all qualities that the decoder is to serve.
        means: (B, 3, h, w), mean colours of the areas of 16 x 16 pixels.
    """
    if model.realistic_decoder is None:
        return
    given = _neighbours(model.in_units(l_hat), None)
    solved = _least_squares(given, _rows(means[:, :, 1:-1, 1:-1]))
    _fill(model.realistic_decoder.means, solved)


def _measure(model: GlcModel, x: Tensor, l: Tensor, steps: Tensor) -> Start:
    bpp, psnr = [], []
    for quality in _anchors(model):
        l_hat, rate = code_latents(model, l, quality)
        parts = zip(l_hat.split(_BATCH), x.split(_BATCH), strict=True)
        errors = [
            (_reconstructed(model, part).clamp(-1.0, 1.0) - original).square().mean(dim=(1, 2, 3))
            for part, original in parts
        ]
        psnr.append(float((10.0 * (4.0 / torch.cat(errors)).log10()).mean()))
        bpp.append(float(rate.mean()))
    # At high rates a bit per sample is worth 2 ln 2 / 12 step^2 of squared error. Here most symbols
    # are 0: at a fourth of that the rates stay where they are (docs/decisions.md, section 18).
    weights = tuple(float(0.04 * step * step) for step in steps)
    return Start(tuple(_anchors(model)), tuple(bpp), tuple(psnr), weights)


def _rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B h w, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _neighbours(x: Tensor, corner: int | None = -1) -> Tensor:
    """Return what a 3 x 3 layer sees of every position: (B, C, h, w) -> (positions, 9 C).

    ``corner`` takes one position of each 2 x 2 cell; None leaves out the rim, where a layer that
    repeats the border would see other values; otherwise all positions, zeros beyond the border.
    """
    stride = 1
    if corner is not None:
        x = functional.pad(x, (1, 1, 1, 1))
        if corner >= 0:
            x, stride = x[:, :, corner // 2 :, corner % 2 :], 2
    return functional.unfold(x, 3, stride=stride).transpose(1, 2).flatten(0, 1)


def _least_squares(given: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Solve target = [given, 1] W with a small ridge: (N, m), (N, n) -> (m + 1, n) float64."""
    given = functional.pad(given, (0, 1), value=1.0)
    if weight is not None:
        given, target = given * weight, target * weight
    gram = (given.T @ given).double().cpu()
    size = gram.diagonal()
    gram += torch.diag(_RIDGE * size + 1e-3 * size.mean() * _RIDGE)
    found: Tensor = torch.linalg.solve(gram, (given.T @ target).double().cpu())
    return found.to(device=given.device, dtype=torch.float32)


def _fill(conv: nn.Conv2d, solved: Tensor, rows: slice = slice(None)) -> None:
    """Set outputs of a 3 x 3 layer to a solution of ``_least_squares`` on ``_neighbours``."""
    conv.weight[rows] = solved[:-1].T.unflatten(1, (-1, 3, 3))
    if conv.bias is not None:
        conv.bias[rows] = solved[-1]
