"""What callers may give for a picture, brought to one form. Loads no torch for it."""

from __future__ import annotations

import os
import sys
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glc.image import Picture, from_array
from glc.image import load as load_image

__all__ = ["Source", "load"]


class Tensor(Protocol):
    """A tensor of torch, named without importing it."""

    def detach(self) -> Any:
        """Return it without its gradient."""

    def is_floating_point(self) -> bool:
        """Say whether it holds floats."""


Source: TypeAlias = Picture | Image.Image | str | os.PathLike[str] | NDArray[Any] | Tensor
"""What callers may give for a picture; ``glc.Codec.encode`` says what each means."""


def load(source: Source) -> Picture:
    """Read a picture.

    Args:
        source: a PIL image, a path, uint8 arrays (H, W), (H, W, 3), (H, W, 4), or a tensor
            (3, H, W) or (1, H, W), uint8 or float in [0, 1]; or what this returned before.

    Raises:
        ImageError: it cannot be read.
        ValueError: an array of the wrong kind.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return from_array(source)
    torch = sys.modules.get("torch")
    # Whoever has a tensor has torch.
    if torch is not None and isinstance(source, torch.Tensor):
        return from_array(_array_of(source))
    return load_image(source)  # type: ignore[arg-type]


def _array_of(tensor: Any) -> NDArray[Any]:
    """(C, H, W) uint8 or float in [0, 1] -> (H, W, C) or (H, W) uint8."""
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3, 4):
        raise ValueError(f"tensor: expected (1, 3 or 4, H, W), found {tuple(tensor.shape)}")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        # numpy knows no bfloat16.
        array = (tensor if tensor.element_size() > 2 else tensor.float()).numpy()
        if not bool(((array >= 0) & (array <= 1)).all()):
            raise ValueError("tensor: expected floats in [0, 1]")
        array = np.rint(array * 255.0).astype(np.uint8)
    elif str(tensor.dtype) == "torch.uint8":
        array = tensor.numpy()
    else:
        raise ValueError(f"tensor: expected uint8 or float, found {tensor.dtype}")
    pixels: NDArray[Any] = np.ascontiguousarray(array.transpose(1, 2, 0))
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
