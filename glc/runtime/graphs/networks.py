"""The networks of a coded file as ONNX graphs: E, g_a, h_a, h_s, the context steps, g_s and D.

Each function mirrors a class of ``glc.networks`` of the same purpose, with the same letters. E and
D are two graphs each, fine and coarse: see ``glc.runtime.protocol.Networks``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from glc.config import REALISTIC_FEATURE_LIMIT, REALISTIC_INPUT_LIMIT, CodecConfig
from glc.runtime.graphs.layers import Layers, Weights
from glc.runtime.graphs.proto import Graph

__all__ = [
    "analysis",
    "context",
    "decoder_coarse",
    "decoder_fine",
    "encoder_coarse",
    "encoder_fine",
    "hyper_analysis",
    "hyper_synthesis",
    "synthesis",
]

_COLOURS = 3


def encoder_fine(config: CodecConfig, weights: Weights) -> Graph:
    """E above 1/16: ``x`` uint8 (B, 48, 4h, 4w), 4x4 cells as channels -> ``features``."""
    graph = Graph()
    layers = Layers(graph, weights)
    width_4, width_8 = config.encoder_width_4, config.encoder_width_8
    width_16 = config.encoder_width_16
    x = graph.input("x", ("b", 48, "h4", "w4"), "uint8")
    x = graph.node("Div", graph.node("Cast", x, to=1), graph.scalar(127.5))
    cells = graph.node("Sub", x, graph.scalar(1.0))
    x = layers.conv(cells, "encoder.stem", 48, width_4, 3)
    x = layers.plain_blocks(x, "encoder.body_4", width_4, config.encoder_depth_4)
    x = layers.downsample(x, "encoder.down_8", width_4, width_8)
    x = layers.plain_blocks(x, "encoder.body_8", width_8, config.encoder_depth_8)
    x = layers.downsample(x, "encoder.down_16", width_8, width_16)
    leaving = width_16
    if config.linear:
        channels = config.latent_channels
        components = layers.linear_analysis(cells, "encoder.linear", channels)
        x, leaving = graph.node("Concat", x, components, axis=1), width_16 + channels
    graph.output("features", x, ("b", leaving, "h", "w"))
    return graph


def encoder_coarse(config: CodecConfig, weights: Weights) -> Graph:
    """E at 1/16: ``features`` -> ``l``."""
    graph = Graph()
    layers = Layers(graph, weights)
    width_16, channels = config.encoder_width_16, config.latent_channels
    entering = width_16 + (channels if config.linear else 0)
    features = graph.input("features", ("b", entering, "h", "w"))
    x = layers.channels(features, 0, width_16) if config.linear else features
    x = layers.depthwise_blocks(x, "encoder.body_16", width_16, config.encoder_depth_16)
    x = layers.conv(x, "encoder.head", width_16, channels)
    if config.linear:
        components = layers.channels(features, width_16, entering)
        added = graph.node("Mul", x, layers.scale("encoder.scale", channels))
        graph.output("l", graph.node("Add", components, added), ("b", channels, "h", "w"))
        return graph
    mean = weights.take("encoder.centre.running_mean", channels).astype(np.float32)
    variance = weights.take("encoder.centre.running_var", channels).astype(np.float32)
    shape = (1, channels, 1, 1)
    x = graph.node("Sub", x, graph.constant(mean.reshape(shape)))
    # 1e-5 is what torch's batch normalisation adds by default.
    l = graph.node("Div", x, graph.constant(np.sqrt(variance + 1e-5).reshape(shape)))
    square = graph.node("ReduceMean", graph.node("Mul", l, l), axes=[1], keepdims=1)
    length = graph.node("Sqrt", graph.node("Add", square, graph.scalar(1e-6)))
    graph.output("l", graph.node("Div", l, length), ("b", channels, "h", "w"))
    return graph


def analysis(config: CodecConfig, weights: Weights) -> Graph:
    """g_a: ``l``, ``gain_inner``, ``gain`` -> ``y``."""
    graph = Graph()
    layers = Layers(graph, weights)
    width, channels = config.transform_width, config.y_channels
    l = graph.input("l", ("b", config.latent_channels, "h", "w"))
    gain_inner = graph.input("gain_inner", (1, width, 1, 1))
    gain = graph.input("gain", (1, channels, 1, 1))
    scale = layers.scale("analysis.scale", channels) if config.linear else ""
    x = graph.node("Div", l, scale) if config.linear else l
    x = layers.conv(x, "analysis.stem", config.latent_channels, width, 3)
    x = graph.node("Mul", x, gain_inner)
    x = layers.depthwise_blocks(x, "analysis.body", width, config.transform_depth)
    y = layers.conv(x, "analysis.head", width, channels)
    if config.linear:
        y = graph.node("Add", l, graph.node("Mul", y, scale))
    graph.output("y", graph.node("Mul", y, gain), ("b", channels, "h", "w"))
    return graph


def hyper_analysis(config: CodecConfig, weights: Weights) -> Graph:
    """h_a: ``y``, with architecture 2 also ``gain`` -> ``z``, not yet rounded."""
    graph = Graph()
    layers = Layers(graph, weights)
    width, channels = config.hyper_channels, config.y_channels
    y = graph.input("y", ("b", channels, "h", "w"))
    root = graph.node("Sqrt", graph.node("Add", graph.node("Abs", y), graph.scalar(1e-3)))
    x = graph.node("Mul", graph.node("Sign", y), root)
    x = layers.silu(layers.conv(x, "hyper_analysis.stem", channels, width, 3))
    x = layers.downsample(x, "hyper_analysis.down_32", width, width)
    x = layers.depthwise_block(x, "hyper_analysis.body_32", width)
    x = layers.downsample(x, "hyper_analysis.down_64", width, width)
    x = layers.depthwise_block(x, "hyper_analysis.body_64", width)
    digits = len(config.hyper_levels)
    z = layers.conv(x, "hyper_analysis.head", width, digits)
    if config.linear:
        gain = graph.input("gain", (1, channels, 1, 1))
        scaled = graph.node("Mul", y, gain)
        mean = graph.node("AveragePool", scaled, kernel_shape=[4, 4], strides=[4, 4])
        low_pass = layers.conv(mean, "hyper_analysis.low_pass", channels, digits)
        z = graph.node("Add", z, low_pass)
    graph.output("z", z, ("b", digits, "h64", "w64"))
    return graph


def hyper_synthesis(config: CodecConfig, weights: Weights) -> Graph:
    """h_s: ``digits``, ``gain``, with architecture 2 ``low_pass_gain`` -> ``features``."""
    graph = Graph()
    layers = Layers(graph, weights)
    width, digits = config.hyper_channels, len(config.hyper_levels)
    x = graph.input("digits", ("b", digits, "h", "w"))
    gain = graph.input("gain", (1, width, 1, 1))
    halved = graph.node("Div", x, graph.scalar(2.0))
    x = layers.silu(layers.conv(halved, "hyper_synthesis.stem", digits, width, 3))
    x = layers.depthwise_block(x, "hyper_synthesis.body_64", width)
    x = layers.upsample(x, "hyper_synthesis.up_32", width, width)
    x = layers.depthwise_block(x, "hyper_synthesis.body_32", width)
    x = layers.upsample(x, "hyper_synthesis.up_16", width, width)
    x = layers.depthwise_block(graph.node("Mul", x, gain), "hyper_synthesis.body_16", width)
    if config.linear:
        low_pass_gain = graph.input("low_pass_gain", (1, digits, 1, 1))
        picture = layers.conv(halved, "hyper_synthesis.low_pass", digits, 16 * digits, 3)
        picture = graph.node("Mul", layers.shuffle(picture, 4), low_pass_gain)
        x = graph.node("Concat", x, picture, axis=1)
    graph.output("features", x, ("b", config.features_channels, "h16", "w16"))
    return graph


def context(config: CodecConfig, weights: Weights, step: int) -> Graph:
    """One step of the context model: ``features`` and, after step 0, ``y_hat`` -> mean, step."""
    graph = Graph()
    layers = Layers(graph, weights)
    width, channels, entering = config.context_width, config.y_channels, config.features_channels
    features = graph.input("features", ("b", entering, "h", "w"))
    if step == 0:
        x = layers.conv(features, "context.first", entering, width)
        y_hat = ""
    else:
        y_hat = graph.input("y_hat", ("b", channels, "h", "w"))
        x = graph.node("Concat", features, y_hat, axis=1)
        x = layers.conv(x, f"context.adaptors.{step - 1}", entering + channels, width, 3)
    x = layers.depthwise_blocks(layers.silu(x), "context.body", width, config.context_depth)
    mean, raw_step = layers.halves(x, f"context.heads.{step}", width, channels)
    if config.linear:
        seen, width = layers.channels(features, config.hyper_channels, entering), entering
        width -= config.hyper_channels
        if step:
            seen, width = graph.node("Concat", seen, y_hat, axis=1), width + channels
        predicted = layers.conv(seen, f"context.linear.{step}", width, channels, 3)
        mean = graph.node("Add", mean, predicted)
    octaves = graph.node("Mul", graph.node("Tanh", raw_step), graph.scalar(math.log(2.0)))
    graph.output("mean", mean, ("b", channels, "h", "w"))
    graph.output("quant_step", graph.node("Exp", octaves), ("b", channels, "h", "w"))
    return graph


def synthesis(
    config: CodecConfig, weights: Weights, ranges: Mapping[str, NDArray[np.float32]] | None = None
) -> Graph:
    """g_s: ``y_hat``, ``gain``, ``gain_inner`` -> ``l_hat``; with ranges in 8 bits."""
    graph = Graph()
    layers = Layers(graph, weights)
    width, channels = config.transform_width, config.y_channels
    y_hat = graph.input("y_hat", ("b", channels, "h", "w"))
    gain = graph.input("gain", (1, channels, 1, 1))
    gain_inner = graph.input("gain_inner", (1, width, 1, 1))
    scaled = graph.node("Mul", y_hat, gain)
    scale = layers.scale("synthesis.scale", channels) if config.linear else ""
    x = graph.node("Div", scaled, scale) if config.linear else scaled
    x = layers.conv(x, "synthesis.stem", channels, width, 3)
    x = graph.node("Mul", x, gain_inner)
    limits = (ranges or {}).get("synthesis.body")
    x = layers.depthwise_blocks(x, "synthesis.body", width, config.transform_depth, limits)
    l_hat = layers.conv(x, "synthesis.head", width, config.latent_channels)
    if config.linear:
        l_hat = graph.node("Add", scaled, graph.node("Mul", l_hat, scale))
    graph.output("l_hat", l_hat, ("b", config.latent_channels, "h", "w"))
    return graph


def decoder_coarse(
    config: CodecConfig,
    weights: Weights,
    ranges: Mapping[str, NDArray[np.float32]] | None = None,
    realistic: bool = False,
) -> Graph:
    """D at 1/16: ``l_hat`` -> ``features``; with ranges in 8 bits.

    From architecture 2 on this and the graph after it also take ``realism`` (1,) in [0, 1]; those
    of the realistic decoder of architecture 3 do not.
    """
    graph = Graph()
    layers = Layers(graph, weights)
    name, shape = _decoder(config, realistic)
    channels, width_16 = shape.latent_channels, shape.decoder_width_16
    depth_16 = shape.decoder_depth_16
    l_hat = graph.input("l_hat", ("b", channels, "h", "w"))
    x, gains, leaving = l_hat, None, width_16
    if config.linear:
        x = graph.node("Div", l_hat, layers.scale("decoder.scale", channels))
    scaled = x
    if realistic:
        x = layers.limited(x, REALISTIC_INPUT_LIMIT)
    if shape.linear:
        realism = graph.input("realism", (1,))
        gains = layers.realism_gains(f"{name}.gains_16", width_16, depth_16, realism)
        leaving = width_16 + channels
    x = layers.conv(x, f"{name}.stem", channels, width_16, 3)
    limits = (ranges or {}).get(f"{name}.body_16")
    bound = REALISTIC_FEATURE_LIMIT if realistic else None
    x = layers.depthwise_blocks(x, f"{name}.body_16", width_16, depth_16, limits, gains, bound)
    if shape.linear:
        x = graph.node("Concat", x, l_hat, axis=1)
    if realistic:
        x = graph.node("Concat", x, layers.means(scaled, f"{name}.means", channels), axis=1)
        leaving += _COLOURS
    graph.output("features", x, ("b", leaving, "h", "w"))
    return graph


def decoder_fine(
    config: CodecConfig,
    weights: Weights,
    ranges: Mapping[str, NDArray[np.float32]] | None = None,
    realistic: bool = False,
) -> Graph:
    """D above 1/16: ``features`` -> ``pixels`` uint8 (B, 16h, 16w, 3); with ranges in 8 bits."""
    graph = Graph()
    layers = Layers(graph, weights)
    name, shape = _decoder(config, realistic)
    width_4, width_8 = shape.decoder_width_4, shape.decoder_width_8
    width_16, channels = shape.decoder_width_16, shape.latent_channels
    depth_8, depth_4 = shape.decoder_depth_8, shape.decoder_depth_4
    entering = width_16 + (channels if shape.linear else 0) + (_COLOURS if realistic else 0)
    features = graph.input("features", ("b", entering, "h", "w"))
    gains_8, gains_4, x = None, None, features
    if realistic:
        x = layers.channels(features, 0, width_16)
    if shape.linear:
        realism = graph.input("realism", (1,))
        gains_8 = layers.realism_gains(f"{name}.gains_8", width_8 // 2, depth_8, realism)
        gains_4 = layers.realism_gains(f"{name}.gains_4", width_4 // 2, depth_4, realism)
        x = layers.channels(features, 0, width_16)
    known = ranges or {}
    x = layers.upsample(x, f"{name}.up_8", width_16, width_8)
    limits = known.get(f"{name}.body_8")
    x = layers.plain_blocks(x, f"{name}.body_8", width_8, depth_8, limits, gains_8)
    x = layers.upsample(x, f"{name}.up_4", width_8, width_4)
    limits = known.get(f"{name}.body_4")
    x = layers.plain_blocks(x, f"{name}.body_4", width_4, depth_4, limits, gains_4)
    x = layers.shuffle(layers.conv(x, f"{name}.render", width_4, 48, 3), 4)
    if shape.linear:
        l_hat = layers.channels(features, width_16, entering)
        linear = layers.linear_synthesis(l_hat, f"{name}.linear", channels)
        x = graph.node("Add", x, linear)
    refined = layers.silu(layers.conv(x, f"{name}.refine_in", 3, shape.refine_channels, 5))
    refined = layers.conv(refined, f"{name}.refine_out", shape.refine_channels, 3, 3)
    x_hat = graph.node("Add", x, refined)
    if realistic:
        means = layers.channels(features, width_16, entering)
        x_hat = layers.with_means(x_hat, means, f"{name}.spread")
    clipped = graph.node("Clip", x_hat, graph.scalar(-1.0), graph.scalar(1.0))
    shifted = graph.node("Add", clipped, graph.scalar(1.0))
    levels = graph.node("Round", graph.node("Mul", shifted, graph.scalar(127.5)))
    pixels = graph.node("Transpose", graph.node("Cast", levels, to=2), perm=[0, 2, 3, 1])
    graph.output("pixels", pixels, ("b", "height", "width", 3), "uint8")
    return graph


def _decoder(config: CodecConfig, realistic: bool) -> tuple[str, CodecConfig]:
    """Return how the tensors of one of the decoders are called, and its shape."""
    return ("realistic_decoder", config.realistic_shape) if realistic else ("decoder", config)
