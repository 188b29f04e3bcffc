"""The weight files that feature metrics need: where they are looked for, and what to do if absent.

First in a given folder of safetensors files (`--features DIR`), then in torch's hub folder, where
torchvision's own downloads lie. Nothing is ever downloaded. A metric without its file raises
`Unavailable`, and its message says which file to put where.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

TORCHVISION = "https://download.pytorch.org/models/"

SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"
ALEXNET = "alexnet-owt-7be5be79.pth"
VGG16 = "vgg16-397923af.pth"
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/" + INCEPTION

GIVEN = {"alex": "alexnet_features.safetensors", "vgg": "vgg16_features.safetensors"}
"""Trunks as a folder of features has them: tensors `features.N.weight` and `.bias`, any float."""
GIVEN_JUDGE = "judge_mobilenet_v1.safetensors"
GIVEN_DISTS = "dists.safetensors"
_HUB = {"squeeze": SQUEEZENET, "alex": ALEXNET, "vgg": VGG16}


class Unavailable(Exception):
    """A codec or metric cannot be used here; the message says what is missing."""


def checkpoint(name: str, url: str | None = None) -> Path:
    """Return the path of a weight file in torch's hub folder.

    Raises:
        Unavailable: it is not there.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        raise Unavailable(
            f"needs {name}: get it from {url or TORCHVISION + name} and put it at {path} "
            "(the folder follows TORCH_HOME)"
        )
    return path


def tensors(path: Path) -> dict[str, Tensor]:
    """Read a state dict of plain tensors (no pickled code is run)."""
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def given(folder: Path | None, name: str) -> dict[str, Tensor] | None:
    """Return the tensors of a file of the folder of features as float32; None when it is absent."""
    path = None if folder is None else folder / name
    if path is None or not path.is_file():
        return None
    return {key: value.float() for key, value in load_file(path).items()}


def trunk(net: str, folder: Path | None = None) -> dict[str, Tensor]:
    """Return torchvision's tensors `features.N.*` of squeeze, alex or vgg.

    Raises:
        Unavailable: neither the folder of features nor torch's hub folder has them.
    """
    found = given(folder, GIVEN[net]) if net in GIVEN else None
    if found is not None:
        return found
    try:
        return tensors(checkpoint(_HUB[net]))
    except Unavailable as error:
        other = f"; or --features DIR with {GIVEN[net]}" if net in GIVEN else ""
        raise Unavailable(f"{error}{other}") from error


def squeezenet_features(device: str) -> nn.Sequential:
    """Return the convolutional part of torchvision's SqueezeNet 1.1, frozen.

    Raises:
        Unavailable: the weights are not in the hub folder.
    """
    state = trunk("squeeze")
    from torchvision.models import squeezenet1_1

    features: nn.Sequential = squeezenet1_1(weights=None).features
    prefix = "features."
    kept = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    features.load_state_dict(kept, strict=True)
    return features.eval().requires_grad_(False).to(device)


def lpips_network(net: str, device: str, folder: Path | None = None) -> Any:
    """Return an LPIPS v0.1 network with the heads of the `lpips` wheel.

    The wheel would fetch the trunk by itself; so it is built empty and filled from `folder` or the
    hub folder.

    Raises:
        Unavailable: the wheel or the trunk's weights are missing.
    """
    state = trunk(net, folder)
    try:
        import lpips
    except ImportError as error:
        raise Unavailable("needs the package lpips: pip install lpips") from error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel calls torchvision by retired argument names
        model = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    # Layers keep torchvision's index as the last but one part: slice2.3.weight <- features.3.weight
    keys = model.net.state_dict()
    filled = {key: state["features." + key.split(".", 1)[1]] for key in keys}
    model.net.load_state_dict(filled, strict=True)
    return model.eval().requires_grad_(False).to(device)


def to_pm1(picture: Any, device: str) -> Tensor:
    """Return a uint8 (H, W, 3) array as a (1, 3, H, W) float32 tensor in [-1, 1]."""
    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
