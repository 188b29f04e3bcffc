"""All networks of a coded file, run by ONNX Runtime: ``glc.networks.model.GlcModel`` in arrays.

Fulfils ``glc.runtime.protocol.Networks``, where shapes and types are. Nothing is imported before
the first network runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glc.config import QUALITY_MAX, CodecConfig
from glc.errors import WeightsError
from glc.partition import STEPS
from glc.runtime.graphs import networks
from glc.runtime.graphs.layers import Weights
from glc.runtime.graphs.session import giving_back, open_session
from glc.runtime.mixture import mix
from glc.runtime.scale_map import Reals, ScaleMap

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from glc.runtime.graphs.proto import Graph

__all__ = ["OnnxModel"]

_SCALE_MAP = "scale_map."
_GAINS = (
    "analysis.gain_inner",
    "analysis.gain",
    "hyper_synthesis.gain",
    "synthesis.gain",
    "synthesis.gain_inner",
)

_LINEAR_GAINS = ("hyper_analysis.gain", "hyper_synthesis.low_pass_gain")
"""Of models from architecture 2 on, beside those."""

_LARGE = ("E", "E 16", "g_a", "g_s", "D 16", "D", "R 16", "R")
"""Graphs that take most of the time and memory: they keep memory for the next run."""

_BEFORE_D = frozenset(("g_s", "D 16", "R 16"))
"""Those of them that give it back after each run, since D, which takes most, runs next."""

Array = NDArray[np.float32]


class OnnxModel:
    """E, g_a, h_a, h_s, scale map, context, g_s, D of one weights file, and R of architecture 3.

    R is the realistic decoder, D then the faithful one.

    Safe to use from several threads. Each network becomes a session when it is first needed, so
    that decoding never builds E; a forked process builds its own, since threads do not survive.

    Attributes:
        config: of the model.
        graphs: of all networks.
    """

    runtime = "onnxruntime"
    device = "cpu"

    def __init__(
        self,
        config: CodecConfig,
        tensors: Mapping[str, NDArray[np.generic]],
        ranges: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        """Check the tensors and describe the graphs.

        Args:
            config: of the model.
            tensors: everything of a weights file but the probability tables.
            ranges: those of ``Checkpoint``, if D is to run with 8-bit integers.

        Raises:
            WeightsError: a tensor is missing, unknown, of another shape or type, or not finite.
        """
        self.config = config
        integers = {
            name.removeprefix(_SCALE_MAP): array
            for name, array in tensors.items()
            if name.startswith(_SCALE_MAP)
        }
        self.scale_map = ScaleMap(config, STEPS, integers)
        weights = Weights(tensors)
        self.graphs: dict[str, Graph] = {
            "E": networks.encoder_fine(config, weights),
            "E 16": networks.encoder_coarse(config, weights),
            "g_a": networks.analysis(config, weights),
            "h_a": networks.hyper_analysis(config, weights),
            "h_s": networks.hyper_synthesis(config, weights),
            "g_s": networks.synthesis(config, weights, ranges),
            "D 16": networks.decoder_coarse(config, weights, ranges),
            "D": networks.decoder_fine(config, weights, ranges),
        }
        if config.two_decoders:
            self.graphs["R 16"] = networks.decoder_coarse(config, weights, ranges, True)
            self.graphs["R"] = networks.decoder_fine(config, weights, ranges, True)
        for step in range(STEPS):
            self.graphs[f"context {step}"] = networks.context(config, weights, step)
        names = _GAINS + (_LINEAR_GAINS if config.linear else ())
        self._log_gains = {name: _log_gains(weights, config, name) for name in names}
        unknown = sorted(set(tensors) - weights.taken - {_SCALE_MAP + name for name in integers})
        if unknown:
            raise WeightsError(f"weights: unexpected tensors: {', '.join(unknown[:3])}")
        for name in sorted(weights.taken):
            if not np.isfinite(tensors[name]).all():
                raise WeightsError(f"weights: {name} holds values that are not finite")
        self._sessions: dict[tuple[int, str], InferenceSession] = {}
        self._lock = threading.Lock()

    def encode_fine(self, pixels: NDArray[np.uint8]) -> Array:
        """E above 1/16."""
        batch, height, width, _ = pixels.shape
        cells = pixels.reshape(batch, height // 4, 4, width // 4, 4, 3)
        # The order of pixel_unshuffle: colour, row, column.
        channels = cells.transpose(0, 5, 2, 4, 1, 3).reshape(batch, 48, height // 4, width // 4)
        return self._run("E", "features", x=channels)[0]

    def encode_coarse(self, features: Array) -> Array:
        """The rest of E."""
        return self._run("E 16", "l", features=features)[0]

    def analysis(self, l: Array, quality: int) -> Array:
        """g_a."""
        gain_inner = self._gain("analysis.gain_inner", quality)
        gain = self._gain("analysis.gain", quality)
        return self._run("g_a", "y", l=l, gain_inner=gain_inner, gain=gain)[0]

    def hyper_analysis(self, y: Array, quality: int) -> NDArray[np.int32]:
        """h_a."""
        given = {"y": y}
        if self.config.linear:
            given["gain"] = self._gain("hyper_analysis.gain", quality)
        (z,) = self._run("h_a", "z", **given)
        count = np.array(self.config.hyper_levels, np.float32)[:, None, None]
        level = np.rint(np.tanh(z) * (count / 2 - 0.5) * 1.05 + (count / 2 - 0.5))
        return self.to_indices(2 * np.clip(level, 0, count - 1) - (count - 1))

    def to_indices(self, digits: Array) -> NDArray[np.int32]:
        """(B, D, h, w) digits -> (B, h, w) indices in [0, hyper_size)."""
        levels = self.config.hyper_levels
        level = (digits.astype(np.int64) + np.array(levels)[:, None, None] - 1) // 2
        indices = np.ravel_multi_index(tuple(np.moveaxis(level, 1, 0)), levels, order="F")
        return np.asarray(indices, np.int32)

    def to_digits(self, indices: NDArray[np.integer[Any]]) -> Array:
        """(B, h, w) indices -> (B, D, h, w) digits, exact."""
        levels = self.config.hyper_levels
        level = np.stack(np.unravel_index(indices, levels, order="F"), axis=1)
        count = np.array(levels)[:, None, None]
        return np.asarray(2 * level - (count - 1), np.float32)

    def hyper_synthesis(self, indices: NDArray[np.integer[Any]], quality: int) -> Array:
        """h_s."""
        gain = self._gain("hyper_synthesis.gain", quality)
        given = {"digits": self.to_digits(indices), "gain": gain}
        if self.config.linear:
            given["low_pass_gain"] = self._gain("hyper_synthesis.low_pass_gain", quality)
        return self._run("h_s", "features", **given)[0]

    def context(self, step: int, y_hat: Array, features: Array) -> tuple[Array, Array]:
        """The context model."""
        given = {"features": features} | ({"y_hat": y_hat} if step else {})
        mean, quant_step = self._run(f"context {step}", "mean", "quant_step", **given)
        return mean, quant_step

    def scale_base(self, indices: NDArray[np.integer[Any]], quality: int) -> Reals:
        """The scale map before the first step."""
        return self.scale_map.base(self.to_digits(indices), quality)

    def rows(self, step: int, base: Reals, symbols: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """The rest of the scale map."""
        total = base + self.scale_map.context(symbols, step) if step else base
        return self.scale_map.to_rows(total)

    def synthesis(self, y_hat: Array, quality: int) -> Array:
        """g_s."""
        gain = self._gain("synthesis.gain", quality)
        gain_inner = self._gain("synthesis.gain_inner", quality)
        return self._run("g_s", "l_hat", y_hat=y_hat, gain=gain, gain_inner=gain_inner)[0]

    def decode_coarse(self, l_hat: Array, realism: float) -> Array:
        """D at 1/16."""
        if not self.config.two_decoders:
            return self._run("D 16", "features", l_hat=l_hat, **self._realism(realism))[0]
        features = []
        if realism < 1.0:
            features += self._run("D 16", "features", l_hat=l_hat, **self._realism(0.0))
        if realism > 0.0:
            features += self._run("R 16", "features", l_hat=l_hat)
        return np.concatenate(features, axis=1)

    def decode_fine(self, features: Array, realism: float) -> NDArray[np.uint8]:
        """The rest of D."""
        if not self.config.two_decoders:
            return self._pixels("D", {"features": features} | self._realism(realism))
        if realism >= 1.0:
            return self._pixels("R", {"features": features})
        first = self.config.decoder_width_16 + self.config.latent_channels
        given = {"features": features[:, :first]} | self._realism(0.0)
        if realism <= 0.0:
            return self._pixels("D", given)
        # Each gives back its memory, which the other needs.
        faithful = self._pixels("D", given, True)
        return mix(faithful, self._pixels("R", {"features": features[:, first:]}, True), realism)

    def ran_out(self, error: Exception) -> bool:
        """Say no: the memory is that of the machine, and too little of it is an error."""
        return False

    def free(self) -> None:
        """Do nothing: there is no device."""

    def _realism(self, realism: float) -> dict[str, Array]:
        """What D's graphs are told, if they take it."""
        return {"realism": np.array([realism], np.float32)} if self.config.linear else {}

    def _gain(self, name: str, quality: int) -> Array:
        """Interpolate a ``QualityGain`` in the log: (1, C, 1, 1)."""
        log_gain = self._log_gains[name]
        position = quality * ((len(log_gain) - 1) / QUALITY_MAX)
        lower = min(int(position), len(log_gain) - 2)
        fraction = np.float32(position - lower)
        mixed = log_gain[lower] * (1 - fraction) + log_gain[lower + 1] * fraction
        gain: Array = np.exp(mixed)[None, :, None, None]
        return gain

    def _pixels(
        self, graph: str, inputs: Mapping[str, Array], gives_back: bool = False
    ) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = self._compute(graph, ("pixels",), inputs, gives_back)[0]
        return found

    def _run(self, graph: str, *outputs: str, **inputs: NDArray[Any]) -> list[NDArray[Any]]:
        return self._compute(graph, outputs, inputs, graph in _BEFORE_D)

    def _compute(
        self,
        graph: str,
        outputs: Sequence[str],
        inputs: Mapping[str, NDArray[Any]],
        gives_back: bool,
    ) -> list[NDArray[Any]]:
        """Run a graph; ``gives_back`` says that its session keeps no memory for the next run."""
        key = os.getpid(), graph
        session = self._sessions.get(key)
        if session is None:
            with self._lock:
                session = self._sessions.get(key)
                if session is None:
                    session = open_session(self.graphs[graph], graph in _LARGE)
                    self._sessions[key] = session
        options = giving_back() if gives_back else None
        return list(session.run(outputs, inputs, options))


def _log_gains(weights: Weights, config: CodecConfig, name: str) -> Array:
    channels = {
        "analysis.gain": config.y_channels,
        "synthesis.gain": config.y_channels,
        "hyper_analysis.gain": config.y_channels,
        "hyper_synthesis.low_pass_gain": len(config.hyper_levels),
        "hyper_synthesis.gain": config.hyper_channels,
    }.get(name, config.transform_width)
    return weights.take(f"{name}.log_gain", config.quality_anchors, channels).astype(np.float32)
