"""What values the blocks of g_s and D take: what an 8-bit decoder has to know before it begins.

Post-training quantisation (Jacob et al., arXiv 1712.05877, section 3): one range per tensor,
measured on training crops, narrower than the largest values where that makes the error smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glc.codec import Codec
from glc.config import REALISM_MAX
from glc.networks.blocks import DepthwiseBlock, PlainBlock
from glc.networks.model import GlcModel
from glc.runtime.torch import TorchNetworks
from glc.weights.extras import RANGE_MAX, RANGE_MIN, ranged

__all__ = ["best_range", "measure"]

_QUALITIES = (0, 25, 50, 75, 100)
_VALUES_PER_CALL = 1 << 14
_STEPS = 255
_SHARES = np.linspace(0.4, 1.0, 25)

_Values = list[Tensor]


def measure(
    codec: Codec, batches: Iterable[list[NDArray[np.uint8]]]
) -> dict[str, NDArray[np.float32]]:
    """Decode pictures and note the values around the convolutions that can be run in 8 bits.

    Places of a plain block: before ``reduce``, behind it, behind the activation, behind
    ``project``. Of a depthwise block: before ``expand``, value and gate behind it, before
    ``project``, behind it.

    Args:
        codec: whose g_s and D are measured; of runtime torch.
        batches: crops, (H, W, 3) each; every one is coded at five qualities, and shown at both
            ends of realism if the model takes one.

    Returns:
        Ranges as ``Checkpoint.ranges`` has them.
    """
    realisms = (0, REALISM_MAX) if codec.takes_realism else (None,)
    model = _modules_of(codec)
    sizes = ranged(model.config)
    with _watched(model) as seen:
        for batch in batches:
            for quality in _QUALITIES:
                files = codec.encode_batch(batch, quality)
                for realism in realisms:
                    codec.decode_batch(files, realism)
    # A third of a second for each of some sixty places, nearly all of it in numpy: threads help.
    with ThreadPoolExecutor() as pool:
        return {
            name: np.array(
                list(pool.map(_best_range, (values for block in blocks for values in block))),
                np.float32,
            ).reshape(*sizes[name], 2)
            for name, blocks in seen.items()
        }


def _best_range(values: _Values) -> tuple[float, float]:
    return best_range(torch.cat(values).numpy())


def _modules_of(codec: Codec) -> GlcModel:
    networks = codec.networks
    if not isinstance(networks, TorchNetworks):
        raise TypeError(f"codec: expected one of runtime torch, found {networks.runtime}")
    return networks.model


def best_range(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the range, 0 inside of it, whose 255 steps give the least mean square error."""
    # What a weights file may hold, whatever comes.
    low = float(np.clip(values.min(), -RANGE_MAX, 0.0))
    high = float(np.clip(values.max(), RANGE_MIN / _SHARES[0], RANGE_MAX))
    errors = []
    for share in _SHARES:
        step = share * (high - low) / _STEPS
        zero = round(-share * low / step)
        levels = np.clip(np.rint(values / step) + zero, 0, _STEPS)
        errors.append(float(np.square((levels - zero) * step - values).mean()))
    share = float(_SHARES[int(np.argmin(errors))])
    return share * low, share * high


@contextmanager
def _watched(model: GlcModel) -> Iterator[dict[str, list[list[_Values]]]]:
    """Collect, inside a ``with`` block, some values of every place of every block."""
    handles: list[torch.utils.hooks.RemovableHandle] = []
    seen: dict[str, list[list[_Values]]] = {}
    try:
        for name in ranged(model.config):
            seen[name] = []
            for block in model.get_submodule(name).children():
                places, added = _places_of(block)
                seen[name].append(places)
                handles += added
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _places_of(block: nn.Module) -> tuple[list[_Values], list[torch.utils.hooks.RemovableHandle]]:
    """Return a list for each place of a block, and the hooks that fill them."""
    if isinstance(block, PlainBlock):
        places: list[_Values] = [[] for _ in range(4)]
        hooks = [
            block.reduce.register_forward_hook(_noting(*places[:2])),
            block.project.register_forward_hook(_noting(*places[2:])),
        ]
    elif isinstance(block, DepthwiseBlock):
        places = [[] for _ in range(5)]
        hooks = [
            block.expand.register_forward_hook(_noting(*places[:3])),
            block.project.register_forward_hook(_noting(*places[3:])),
        ]
    else:
        raise TypeError(f"no ranges are known for a {type(block).__name__}")
    return places, hooks


def _noting(given: _Values, *found: _Values) -> Callable[..., None]:
    """Make a hook that keeps some values of a layer's input, and of the parts of its output."""

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        tensors = inputs[0], *output.chunk(len(found), dim=1)
        for values, x in zip((given, *found), tensors, strict=True):
            flat = x.detach().float().flatten()
            values.append(flat[:: -(-len(flat) // _VALUES_PER_CALL)].cpu())

    return hook
