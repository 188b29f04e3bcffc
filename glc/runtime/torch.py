"""Torch as a codec's networks, and the way between a ``GlcModel`` and a weights file.

Whole arrays stay in ordinary memory: only what a call is given and returns goes to the device and
back, on a GPU too.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glc.config import CodecConfig
from glc.entropy import IndexTables, ScaleTables
from glc.networks.blank import WithoutRandomNumbers
from glc.networks.codebook import GaussianBottleneck
from glc.networks.model import GlcModel
from glc.runtime.mixture import mix
from glc.runtime.onnx import open_model
from glc.runtime.precision import own_precision
from glc.runtime.protocol import Floats, Integers, Pixels
from glc.weights.checkpoint import Checkpoint

__all__ = ["TorchNetworks", "bottleneck_tensors", "model_tensors", "pick_device"]

_TABLES = "tables."
_SCALE_MAP = "scale_map."
_UNUSED = "num_batches_tracked"
"""Batch norm's counter; only training looks at it."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_seen_process = [os.getpid()]
"""The process that loaded this module, or the one forked from it that used a codec."""


def _check_process() -> None:
    """Make a forked process work with one thread.

    It believes in the threads of its parent but has none of them, and its first parallel loop
    would wait for them for ever.
    """
    if _seen_process[0] != os.getpid():
        _seen_process[0] = os.getpid()
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)


def _computes(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Let a method compute: in the codec's own precision, and in a forked process as well.

    Around all of it: the first step of the smallest network may be a parallel loop.
    """
    inner = own_precision(method)

    @functools.wraps(method)
    def checked(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        _check_process()
        return inner(*args, **kwargs)

    return checked


def pick_device(name: str) -> str:
    """Return the device that a name means; auto takes CUDA, Metal or the CPU, in this order."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


class TorchNetworks:
    """The networks of one weights file on one device; see ``glc.runtime.protocol.Networks``."""

    runtime = "torch"

    def __init__(self, weights: Checkpoint, device: str = "auto") -> None:
        """Build the networks.

        Args:
            weights: checked before anything is allocated: a small configuration can ask for much.
            device: auto, cpu, cuda, cuda:1, mps.

        Raises:
            WeightsError: a tensor is missing, unexpected, of another shape or type, or out of
                range.
        """
        _check_process()
        # Torch's meta device would do, but takes a second: it imports the compiler.
        open_model(weights)
        self.device = pick_device(device)
        self._device = torch.device(self.device)
        self._model = _build(weights).to(self._device)
        # Metal has no float64; the integers are the same wherever they are computed.
        self._exact = torch.device("cpu") if self._device.type == "mps" else self._device

    @property
    def model(self) -> GlcModel:
        """The modules themselves."""
        _check_process()
        return self._model

    @property
    def config(self) -> CodecConfig:
        """Of the model."""
        return self._model.config

    @_computes
    def encode_fine(self, pixels: Pixels) -> Floats:
        """E above 1/16."""
        x = self._take(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return _give(self.model.encoder.fine(x))

    @_computes
    def encode_coarse(self, features: Floats) -> Floats:
        """The rest of E."""
        return _give(self.model.encoder.coarse(self._take(features)))

    @_computes
    def analysis(self, l: Floats, quality: int) -> Floats:
        """g_a."""
        return _give(self.model.analysis(self._take(l), self._level(quality)))

    @_computes
    def hyper_analysis(self, y: Floats, quality: int) -> Integers:
        """h_a."""
        model = self.model
        z = model.hyper_analysis(self._take(y), self._level(quality))
        indices = model.hyper_codebook.to_indices(model.hyper_codebook(z))
        found: Integers = indices.to(torch.int32).cpu().numpy()
        return found

    @_computes
    def hyper_synthesis(self, indices: Integers, quality: int) -> Floats:
        """h_s."""
        return _give(self.model.hyper_synthesis(self._digits(indices), self._level(quality)))

    @_computes
    def context(self, step: int, y_hat: Floats, features: Floats) -> tuple[Floats, Floats]:
        """The context model."""
        found = self.model.context(step, self._take(y_hat), self._take(features))
        mean, quant_step = found
        return _give(mean), _give(quant_step)

    @_computes
    def scale_base(self, indices: Integers, quality: int) -> Tensor:
        """The scale map before the first step, on the device."""
        digits = self._digits(indices).to(self._exact)
        base: Tensor = self.model.scale_map.base(digits, self._level(quality))
        return base

    @_computes
    def rows(self, step: int, base: Tensor, symbols: Integers) -> NDArray[np.uint8]:
        """The rest of the scale map."""
        found = self.model.scale_map.rows(base, self._take(symbols), step)
        rows: NDArray[np.uint8] = found.to(torch.uint8).cpu().numpy()
        return rows

    @_computes
    def synthesis(self, y_hat: Floats, quality: int) -> Floats:
        """g_s."""
        return _give(self.model.synthesis(self._take(y_hat), self._level(quality)))

    @_computes
    def decode_coarse(self, l_hat: Floats, realism: float) -> Floats:
        """D at 1/16."""
        model, l = self.model, self._take(l_hat)
        second = model.realistic_decoder
        if second is None:
            return _give(model.decoder.coarse(l, self._realism(realism)))
        features = []
        if realism < 1.0:
            features.append(_give(model.decoder.coarse(l, self._realism(0.0))))
        if realism > 0.0:
            features.append(_give(second.coarse(model.in_units(l))))
        return np.concatenate(features, axis=1)

    @_computes
    def decode_fine(self, features: Floats, realism: float) -> Pixels:
        """The rest of D."""
        model = self.model
        second = model.realistic_decoder
        if second is None:
            return _pixels(model.decoder.fine(self._take(features), self._realism(realism)))
        if realism >= 1.0:
            return _pixels(second.fine(self._take(features)))
        first = model.config.decoder_width_16 + model.config.latent_channels
        given = self._take(features[:, :first])
        faithful = _pixels(model.decoder.fine(given, self._realism(0.0)))
        if realism <= 0.0:
            return faithful
        return mix(faithful, _pixels(second.fine(self._take(features[:, first:]))), realism)

    def ran_out(self, error: Exception) -> bool:
        """Say whether a GPU has not enough memory."""
        return isinstance(error, torch.cuda.OutOfMemoryError)

    def free(self) -> None:
        """Give back what torch keeps of the memory of a GPU."""
        torch.cuda.empty_cache()

    def _take(self, array: NDArray[Any]) -> Tensor:
        """Bring an array to the device; contiguous, since it may be a window of a larger one."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    # One number each serves a batch of any size: it is broadcast.

    def _realism(self, realism: float) -> Tensor:
        return torch.tensor([realism], dtype=torch.float32, device=self._device)

    def _level(self, quality: int) -> Tensor:
        return torch.tensor([quality], device=self._device)

    def _digits(self, indices: Integers) -> Tensor:
        digits: Tensor = self.model.hyper_codebook.to_digits(self._take(indices).long())
        return digits


def model_tensors(
    model: GlcModel, scales: ScaleTables, indices: IndexTables
) -> dict[str, NDArray[np.generic]]:
    """Return everything that a weights file holds: floats as float16, the rest as integers."""
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, value in model.state_dict().items():
        if not name.startswith(_SCALE_MAP) and not name.endswith(_UNUSED):
            tensors[name] = value.detach().float().cpu().numpy().astype(np.float16)
    for name, value in model.scale_map.integers().items():
        kind = np.int8 if value.abs().max() <= 127 else np.int32
        tensors[_SCALE_MAP + name] = value.cpu().numpy().astype(kind)
    for name, array in scales.to_arrays().items():
        tensors[f"{_TABLES}scale.{name}"] = array
    for name, array in indices.to_arrays().items():
        tensors[f"{_TABLES}index.{name}"] = array
    return tensors


def bottleneck_tensors(bottleneck: GaussianBottleneck) -> dict[str, NDArray[np.generic]]:
    """Return what a weights file holds of a Gaussian bottleneck: float16."""
    state = bottleneck.state_dict().items()
    return {n: value.detach().float().cpu().numpy().astype(np.float16) for n, value in state}


def _build(weights: Checkpoint) -> GlcModel:
    """Rebuild the model of weights that were checked."""
    # Whatever type and place the program has made torch's default.
    with torch.device("cpu"), WithoutRandomNumbers():
        model = GlcModel(weights.config).float().eval().requires_grad_(False)
    state: dict[str, Tensor] = {}
    for name, mine in model.state_dict().items():
        if name.endswith(_UNUSED):
            state[name] = mine
        else:
            state[name] = torch.from_numpy(np.ascontiguousarray(weights.tensors[name])).float()
    model.load_state_dict(state)
    model.scale_map.load_integers(_below(state, _SCALE_MAP))
    return model


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries under a prefix without it."""
    return {n[len(prefix) :]: value for n, value in state.items() if n.startswith(prefix)}


def _pixels(x_hat: Tensor) -> Pixels:
    """Round what D gives to 8 bits: (B, 3, H, W) -> (B, H, W, 3)."""
    rounded = ((x_hat.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    pixels: Pixels = rounded.permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def _give(tensor: Tensor) -> Floats:
    """Bring what was found into ordinary memory, float32."""
    array: Floats = tensor.float().cpu().numpy()
    return array
