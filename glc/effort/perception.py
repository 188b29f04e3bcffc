"""What an encoder that searches looks at where it is installed: a small network's features.

Knows nothing of codecs. LPIPS (Zhang et al., arXiv 1801.03924) with SqueezeNet 1.1 (arXiv
1602.07360), written again so that it needs no torchvision and nothing but its two files of weights,
which are others' and not in the package. About 6 kMAC per pixel.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from glc.errors import WeightsError
from glc.install_hint import install_command

__all__ = ["Perception", "installed"]

_TRUNK_FILE = "squeezenet1_1-b8a52dc0.pth"
_FETCH = "python -c \"import torchvision; torchvision.models.squeezenet1_1(weights='DEFAULT')\""
_SHIFT, _SCALE = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
"""LPIPS's own: ImageNet's means and deviations, for pictures in [-1, 1]."""

_FIRES = (
    *((64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)),
    *((256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)),
)
"""Channels that enter each module, its bottleneck, and each half of what leaves it."""
_INDICES = (3, 4, 6, 7, 9, 10, 11, 12)
"""Where torchvision keeps these modules."""
_POOLED = (0, 2, 4)
"""Modules before which the resolution is halved."""
_LOOKED_AT = (1, 3, 4, 5, 6, 7)
"""Modules whose output counts, as that of the first convolution does."""
_WIDTHS = (64, *(2 * _FIRES[number][2] for number in _LOOKED_AT))


class Perception(nn.Module):
    """Distances of pictures, in seven layers from 1/2 to 1/16 of the resolution.

    Pictures are (B, 3, H, W) in [-1, 1], of any size from 32 x 32 on.
    """

    weight = 1.0
    """See ``glc.effort.look.Look``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3, stride=2)
        self.fires = nn.ModuleList(_Fire(*widths) for widths in _FIRES)
        self.heads = nn.ParameterList(torch.zeros(width) for width in _WIDTHS)
        self.register_buffer("shift", torch.zeros(3))
        self.register_buffer("scale", torch.ones(3))
        self.shift: Tensor
        self.scale: Tensor

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the features of each layer, of unit length at every position: (B, C, h, w)."""
        x = (x - self.shift[:, None, None]) / self.scale[:, None, None]
        x = functional.relu(self.conv(x))
        found = [_unit_length(x)]
        for number, fire in enumerate(self.fires):
            if number in _POOLED:
                x = functional.max_pool2d(x, 3, stride=2, ceil_mode=True)
            x = fire(x)
            if number in _LOOKED_AT:
                found.append(_unit_length(x))
        return found

    def distance(self, x: list[Tensor], x_hat: list[Tensor], seen: Tensor) -> Tensor:
        """Return the distance of each pair, from two lists of features: (B,).

        Args:
            x: of the originals.
            x_hat: of the decoded pictures.
            seen: (B, 1, H, W), 1 where a pixel counts and 0 elsewhere.
        """
        total = seen.new_zeros(len(seen))
        for head, a, b in zip(self.heads, x, x_hat, strict=True):
            error = torch.einsum("bchw,c->bhw", (a - b).square(), head)
            height, width = a.shape[2:]
            weight = functional.adaptive_avg_pool2d(seen, (height, width))[:, 0]
            total = total + (error * weight).sum((1, 2)) / weight.sum((1, 2))
        return total


class _Fire(nn.Module):
    """A module of SqueezeNet: squeeze to few channels, expand with 1x1 and 3x3 side by side."""

    def __init__(self, entering: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(entering, squeezed, 1)
        self.expand_1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand_3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand_1(x), self.expand_3(x)], dim=1))


@lru_cache(maxsize=4)
def installed(device: str = "cpu") -> Perception:
    """Return the network with the weights of this machine, frozen; one for each device.

    Nothing is downloaded: the trunk is torchvision's file in torch's hub folder, the heads are
    those of the package lpips.

    Raises:
        WeightsError: one of the two is not there; the message says how it gets there.
    """
    network = Perception()
    network.load_state_dict(_trunk() | _heads() | {"shift": _SHIFT, "scale": _SCALE})
    return network.eval().requires_grad_(False).to(device)


def _trunk() -> dict[str, Tensor]:
    path = Path(torch.hub.get_dir()) / "checkpoints" / _TRUNK_FILE
    if not path.is_file():
        raise WeightsError(
            f"SqueezeNet's weights are not in {path.parent}; {_FETCH} stores them there once (5 MB)"
        )
    stored = torch.load(path, map_location="cpu", weights_only=True)
    # torchvision's index in its sequence, which holds activations and pools as well.
    names = {"conv": 0, **{f"fires.{n}": index for n, index in enumerate(_INDICES)}}
    parts = {"": "", "squeeze": "squeeze.", "expand_1": "expand1x1.", "expand_3": "expand3x3."}
    found = {}
    for own, index in names.items():
        for mine, theirs in parts.items():
            for kind in ("weight", "bias"):
                key = f"features.{index}.{theirs}{kind}"
                if key in stored:
                    found[".".join(filter(None, (own, mine, kind)))] = stored[key].float()
    return found


def _heads() -> dict[str, Tensor]:
    spec = find_spec("lpips")
    if spec is None or spec.origin is None:
        raise WeightsError(
            "the heads of LPIPS are those of the package lpips; "
            f"{install_command('effort')} brings it"
        )
    path = Path(spec.origin).parent / "weights" / "v0.1" / "squeeze.pth"
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return {f"heads.{n}": stored[f"lin{n}.model.1.weight"].flatten() for n in range(len(_WIDTHS))}


def _unit_length(features: Tensor) -> Tensor:
    length = features.square().sum(dim=1, keepdim=True).clamp_min(1e-20).sqrt()
    return features / (length + 1e-10)
