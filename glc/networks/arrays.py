"""A ``GlcModel`` as ``glc.tiled`` wants its networks: arrays in, arrays out, on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glc.config import CodecConfig
from glc.networks.model import GlcModel

__all__ = ["ArrayNetworks", "to_pixels"]

_Floats = NDArray[np.float32]
_Integers = NDArray[np.integer[Any]]


class ArrayNetworks:
    """The networks of one model on the device where its parameters are; see ``glc.tiled.Networks``.

    Whole arrays stay in ordinary memory: only what a call is given and returns is on the device.
    """

    def __init__(self, model: GlcModel) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        # Metal has no float64; the integers are the same wherever they are computed.
        self._exact = torch.device("cpu") if self._device.type == "mps" else self._device

    @property
    def config(self) -> CodecConfig:
        """Of the model."""
        return self._model.config

    @torch.inference_mode()
    def encode_fine(self, pixels: NDArray[np.uint8]) -> _Floats:
        """E above 1/16: (1, H, W, 3) -> features at 1/16."""
        x = self._take(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return _give(self._model.encoder.fine(x))

    @torch.inference_mode()
    def encode_coarse(self, features: _Floats) -> _Floats:
        """E at 1/16: features -> l (1, C_l, h, w)."""
        return _give(self._model.encoder.coarse(self._take(features)))

    @torch.inference_mode()
    def analysis(self, l: _Floats, quality: int) -> _Floats:
        """g_a: l (1, C_l, h, w) -> y (1, C_y, h, w)."""
        return _give(self._model.analysis(self._take(l), self._level(quality)))

    @torch.inference_mode()
    def hyper_analysis(self, y: _Floats, quality: int) -> _Integers:
        """h_a: y (1, C_y, h, w) -> indices of z (1, h / 4, w / 4) int64."""
        codebook = self._model.hyper_codebook
        digits = codebook(self._model.hyper_analysis(self._take(y), self._level(quality)))
        indices: _Integers = codebook.to_indices(digits).cpu().numpy()
        return indices

    @torch.inference_mode()
    def hyper_synthesis(self, indices: _Integers, quality: int) -> _Floats:
        """h_s: indices of z (1, h / 4, w / 4) -> features (1, C_h, h, w)."""
        digits = self._digits(indices)
        return _give(self._model.hyper_synthesis(digits, self._level(quality)))

    @torch.inference_mode()
    def context(self, step: int, y_hat: _Floats, features: _Floats) -> tuple[_Floats, _Floats]:
        """The context model: y_hat and features -> mean and quant_step, each (1, C_y, h, w)."""
        mean, quant_step = self._model.context(step, self._take(y_hat), self._take(features))
        return _give(mean), _give(quant_step)

    @torch.inference_mode()
    def rows(
        self, step: int, indices: _Integers, symbols: _Integers, quality: int
    ) -> NDArray[np.uint8]:
        """The scale map: indices of z and symbols -> rows (1, C_y, h, w)."""
        scale_map = self._model.scale_map
        base = scale_map.base(self._digits(indices).to(self._exact), self._level(quality))
        found = scale_map.rows(base, self._take(symbols), step)
        rows: NDArray[np.uint8] = found.to(torch.uint8).cpu().numpy()
        return rows

    @torch.inference_mode()
    def decode_coarse(self, y_hat: _Floats, quality: int, realism: float = 1.0) -> _Floats:
        """g_s and D at 1/16: y_hat (1, C_y, h, w) -> features at 1/16."""
        l_hat = self._model.synthesis(self._take(y_hat), self._level(quality))
        return _give(self._model.decoder.coarse(l_hat, self._realism(realism)))

    @torch.inference_mode()
    def decode_fine(self, features: _Floats, realism: float = 1.0) -> NDArray[np.uint8]:
        """D above 1/16: features at 1/16 -> (1, H, W, 3)."""
        return to_pixels(self._model.decoder.fine(self._take(features), self._realism(realism)))

    def _take(self, array: NDArray[Any]) -> Tensor:
        """Bring an array to the device; contiguous, since it may be a window of a larger one."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _realism(self, realism: float) -> Tensor:
        return torch.tensor([realism], dtype=torch.float32, device=self._device)

    def _level(self, quality: int) -> Tensor:
        return torch.tensor([quality], device=self._device)

    def _digits(self, indices: _Integers) -> Tensor:
        digits: Tensor = self._model.hyper_codebook.to_digits(self._take(indices).long())
        return digits


def to_pixels(x_hat: Tensor) -> NDArray[np.uint8]:
    """Round pictures: (B, 3, H, W) about [-1, 1] -> (B, H, W, 3) uint8."""
    rounded = ((x_hat.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    array: NDArray[np.uint8] = rounded.permute(0, 2, 3, 1).cpu().numpy()
    return array


def _give(tensor: Tensor) -> _Floats:
    """Bring what was found into ordinary memory, float32."""
    array: _Floats = tensor.float().cpu().numpy()
    return array
