"""Cuts cover the picture, and what a tile sees beyond them is exactly what the networks read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from glc.config import PRESETS, CodecConfig
from glc.networks.model import GlcModel
from glc.tiling.geometry import SMALLEST_SIDE, TILE_SIDE, UNCUT_SIDE, Tiling, Window, cut
from glc.tiling.progress import part
from glc.tiling.receptive_field import Reach, reach_of

DEPTHS = [field.name for field in dataclasses.fields(CodecConfig) if "depth" in field.name]
ONE_DECODER = [name for name in DEPTHS if "realistic" not in name]


def two_decoders(first_depth: int, second_depth: int) -> CodecConfig:
    """Return a shape whose decoders are as deep as this at every resolution."""
    widths = {f"realistic_width_{place}": 8 for place in (4, 8, 16)}
    depths = {n: second_depth if "realistic" in n else first_depth for n in DEPTHS}
    return CodecConfig(architecture=3, latent_channels=96, **widths, **depths)


CONFIGS = {
    **PRESETS,
    "shallow": CodecConfig(**dict.fromkeys(ONE_DECODER, 0)),
    "uneven": CodecConfig(**{name: 1 + number % 3 for number, name in enumerate(ONE_DECODER)}),
    "second decoder sees farther": two_decoders(1, 2),
    "first decoder sees farther": two_decoders(2, 0),
}
SIDE, TOP, BOTTOM = 640, 256, 320


def narrow(config: CodecConfig, unsettle: Callable[[GlcModel], None]) -> GlcModel:
    """Return a quick model of the same depths: widths do not matter to how far a network sees."""
    names = [f.name for f in dataclasses.fields(config) if "width" in f.name]
    widths = [name for name in names if getattr(config, name)]
    model = GlcModel(
        dataclasses.replace(
            config,
            **dict.fromkeys(widths, 8),
            latent_channels=4,
            y_channels=4,
            hyper_channels=8,
            hyper_levels=(4, 4),
            refine_channels=4,
            scale_hidden=8,
        )
    )
    with torch.no_grad():
        model.scale_map.context_weight.normal_(0.0, 0.3)
        if config.linear:
            unsettle(model)
    return model.eval()


def seen(output: torch.Tensor, stride_out: int, inputs: torch.Tensor, stride_in: int) -> int:
    """Return how many pixels beyond a block of outputs their gradient reaches, on all sides."""
    rows = slice(TOP // stride_out, BOTTOM // stride_out)
    (gradient,) = torch.autograd.grad(output[..., rows, rows].square().sum(), inputs)
    touched = gradient.abs().sum(dim=(0, 1))
    assert touched.shape == (SIDE // stride_in, SIDE // stride_in)
    margins = set()
    for axis in (0, 1):
        places = touched.sum(dim=axis).nonzero().flatten()
        first, last = int(places.min()), int(places.max()) + 1
        margins |= {TOP - first * stride_in, last * stride_in - BOTTOM}
    assert len(margins) == 1
    return margins.pop()


@pytest.mark.parametrize("name", CONFIGS)
def test_the_reach_of_every_network_is_what_its_gradient_says(name, unsettle):
    config = CONFIGS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, quality = narrow(config, unsettle), torch.tensor([50])

        def inputs(channels, stride):
            return torch.randn(1, channels, SIDE // stride, SIDE // stride, requires_grad=True)

        x, l, y = inputs(3, 1), inputs(4, 16), inputs(4, 16)
        digits, features = inputs(2, 64), inputs(model.config.features_channels, 16)
        wide = inputs(12 if config.linear else 8, 16)
        symbols = torch.randint(-2, 3, y.shape).float().requires_grad_()
        mean, _ = model.context(3, y, features)
        coarse = {seen(model.decoder.coarse(model.synthesis(y, quality)), 16, y, 16)}
        fine = {seen(model.decoder.fine(wide), 1, wide, 16)}
        if model.realistic_decoder is not None:
            entering = inputs(8 + 3, 16)
            given = model.in_units(model.synthesis(y, quality))
            coarse.add(seen(model.realistic_decoder.coarse(given), 16, y, 16))
            fine.add(seen(model.realistic_decoder.fine(entering), 1, entering, 16))
            assert len(coarse) == len(fine) == 2
        found = Reach(
            encoder_fine=seen(model.encoder.fine(x), 16, x, 1),
            encoder_coarse=seen(model.encoder.coarse(wide), 16, wide, 16),
            analysis=seen(model.analysis(l, quality), 16, l, 16),
            hyper_analysis=seen(model.hyper_analysis(y, quality), 64, y, 16),
            hyper_synthesis=seen(model.hyper_synthesis(digits, quality), 16, digits, 64),
            context=seen(mean, 16, y, 16),
            scale_base=seen(model.scale_map.base(digits, quality, False), 16, digits, 64),
            scale_context=seen(model.scale_map.context(symbols, 3, False), 16, symbols, 16),
            decoder_coarse=max(coarse),
            decoder_fine=max(fine),
        )
        assert found == reach_of(config)
        mean, _ = model.context(3, y, features)
        assert seen(mean, 16, features, 16) == found.context
        mean, _ = model.context(0, y, features)
        assert seen(mean, 16, features, 16) <= found.context


@pytest.mark.parametrize("side", [64, 100, 256, 1000])
@pytest.mark.parametrize("size", [(1, 1), (64, 6400), (6400, 64), (1000, 700), (65, 65)])
def test_tiles_cover_the_picture_once(size, side):
    whole = Window.padded(*size)
    covered = torch.zeros(whole.bottom // 64, whole.right // 64, dtype=torch.long)
    tiles = cut(whole, side)
    for tile in tiles:
        covered[tile.at(64)] += 1
        assert all(edge % 64 == 0 for edge in dataclasses.astuple(tile))
        assert (tile.bottom - tile.top) * (tile.right - tile.left) <= max(side * side, 64 * 64)
    assert bool((covered == 1).all())
    widths = {tile.right - tile.left for tile in tiles}
    heights = {tile.bottom - tile.top for tile in tiles}
    assert max(widths) - min(widths) <= 64
    assert max(heights) - min(heights) <= 64


def test_the_shortest_cuts_are_taken():
    assert len(cut(Window.padded(640, 640), 640)) == 1
    # Two cuts across a wide picture are shorter than one along it.
    assert [(t.left, t.right) for t in cut(Window.padded(128, 1920), 320)] == [
        (0, 640),
        (640, 1280),
        (1280, 1920),
    ]


def test_windows_stop_at_the_border_and_move_by_the_grid():
    whole = Window.padded(640, 640)
    tile = Window(64, 128, 192, 256)
    grown = tile.grown(68, 16, whole)
    assert grown == Window(0, 48, 272, 336)
    assert tile.inside(grown) == Window(64, 80, 192, 208)
    assert tile.at(16) == (slice(4, 12), slice(8, 16))


def test_outer_tiles_take_what_lies_around():
    inner, outer = Window(64, 64, 320, 320), Window(0, 32, 352, 320)
    pieces = [piece.stretched(inner, outer) for piece in cut(inner, 128)]
    covered = torch.zeros(352 // 32, 320 // 32, dtype=torch.long)
    for piece in pieces:
        covered[piece.at(32)] += 1
    assert covered[:, 1:].unique().tolist() == [1]
    assert not covered[:, 0].any()


def test_which_pictures_are_cut():
    assert Tiling().side_for(UNCUT_SIDE, UNCUT_SIDE) == 0
    assert Tiling().side_for(UNCUT_SIDE, UNCUT_SIDE + 1) == TILE_SIDE
    assert Tiling(0).side_for(10**5, 10**5) == 0
    assert Tiling(128).side_for(128, 128) == 0
    assert Tiling(128).side_for(129, 1) == 0
    assert Tiling(128).side_for(129, 128) == 128
    with pytest.raises(ValueError, match="at least 64"):
        Tiling(63)


def test_smaller_tiles_end():
    tiling, sides = Tiling(2 * SMALLEST_SIDE), []
    while (smaller := tiling.smaller()) is not None:
        tiling = smaller
        sides.append(tiling.side)
        # Also for a picture that was never cut: in a batch it is at least taken alone.
        assert tiling.side_for(1, 1) == tiling.side
    assert sides == [SMALLEST_SIDE]
    assert Tiling(0).smaller() is None
    assert Tiling().smaller().side == TILE_SIDE // 2


def test_shares_of_the_work_add_up():
    told = []
    tiling = Tiling(None, told.append)
    for number in range(2):
        own = tiling.share(number, 1, 2)
        for stage in (own.within(0.0, 0.5), own.within(0.5, 1.0)):
            stage.progress(1.0)
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert part(None, 0.0, 1.0) is None
