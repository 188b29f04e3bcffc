"""Frozen feature networks: perceptual losses, and what a projected discriminator looks at.

Several networks of different kinds on purpose: one alone is easily fooled (docs/decisions.md). The
judge that ``eval`` uses, and VGG16, must never appear here.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from glc.training.losses.feature_files import FeatureFiles, build_all
from glc.training.losses.texture import texture_distance
from glc.training.settings import NETWORKS

MOBILENET_LAYERS = (1, 3, 6, 10, 13, 17)
"""Layers of MobileNetV2's ``features`` whose outputs are compared."""


class Lpips(nn.Module):
    """LPIPS v0.1 (Zhang et al., arXiv 1801.03924), the published linear heads on frozen features.

    Args:
        net: squeeze (SqueezeNet 1.1) or alex (AlexNet).
        weights: the network's as torchvision names them; None takes torchvision's own, from
            ``$TORCH_HOME/hub/checkpoints`` or by download.
        trained: False leaves the network random, and needs no file.

    Raises:
        OSError: torchvision's weights are not here, and cannot be downloaded.
        ValueError: ``weights`` are those of another network.
    """

    def __init__(
        self, net: str, weights: dict[str, Tensor] | None = None, trained: bool = True
    ) -> None:
        import lpips

        super().__init__()
        download = trained and weights is None
        with warnings.catch_warnings():
            # lpips calls torchvision in a way that is deprecated there.
            warnings.simplefilter("ignore", UserWarning)
            self.metric = lpips.LPIPS(net=net, pnet_rand=not download, verbose=False)
        if weights is not None:
            # slice2.3.weight of lpips is features.3.weight of torchvision.
            places = {name: "features." + name.split(".", 1)[1] for name in self._network_state()}
            wrong = [name for name in places.values() if name not in weights]
            if wrong:
                raise ValueError(f"these are no weights of the network {net!r}: no {wrong[0]}")
            self.metric.net.load_state_dict({n: weights[p] for n, p in places.items()})
        self.requires_grad_(False)
        self.eval()

    def _network_state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.metric.net.state_dict()
        return state

    def maps(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> features of seven (squeeze) or five layers."""
        return [f.float() for f in self.metric.net(self.metric.scaling_layer(x))]

    def normalised(self, maps: list[Tensor]) -> list[Tensor]:
        """Features -> the same, of unit length at every position."""
        return [_unit_length(f) for f in maps]

    def distance(self, x: list[Tensor], x_hat: list[Tensor]) -> Tensor:
        """LPIPS of each pair of pictures, from two lists of features: (B,)."""
        total = x[0].new_zeros(len(x[0]))
        for head, a, b in zip(self.metric.lins, x, x_hat, strict=True):
            total = total + head((a - b).square()).flatten(1).mean(1)
        return total


def _unit_length(features: Tensor) -> Tensor:
    """Divide the features of every position by their length, as LPIPS has it.

    Where all are zero, as in flat areas, the root alone would have no finite gradient.
    """
    length: Tensor = features.square().sum(dim=1, keepdim=True).clamp_min(1e-20).sqrt()
    return features / (length + 1e-10)


class MobileNetFeatures(nn.Module):
    """Channel-normalised features of a MobileNetV2 1.0 trained on ImageNet (arXiv 1801.04381).

    Args:
        weights: safetensors of TensorFlow's release, whose stride-2 convolutions pad on the right
            and bottom only; None takes torchvision's own weights (downloaded by torchvision).
        trained: False leaves them random, and needs no file.

    Raises:
        OSError: the weights are not here, and cannot be downloaded.
        ValueError: ``weights`` are those of another network.
    """

    def __init__(self, weights: Path | None, trained: bool = True) -> None:
        import torchvision

        super().__init__()
        if weights is None:
            named = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1 if trained else None
            network = torchvision.models.mobilenet_v2(weights=named)
        else:
            network = torchvision.models.mobilenet_v2(weights=None)
            state = {name: value.float() for name, value in load_file(weights).items()}
            missing, unexpected = network.load_state_dict(state, strict=False)
            if unexpected or any("num_batches_tracked" not in name for name in missing):
                raise ValueError(f"{weights} does not hold a torchvision mobilenet_v2")
        _fold_norms(network)
        if weights is not None:
            for module in network.modules():
                if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
                    module.padding = (0, 0)
                    module.register_forward_pre_hook(_pad_right_and_bottom)
        self.layers = network.features[: MOBILENET_LAYERS[-1] + 1]
        self.top = network.features[MOBILENET_LAYERS[-1] + 1 :]
        self.imagenet_range = weights is None
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("deviation", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.deviation: Tensor
        self.requires_grad_(False)
        self.eval()

    def maps(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> features of ``MOBILENET_LAYERS``."""
        return self._maps(x)[0]

    def normalised(self, maps: list[Tensor]) -> list[Tensor]:
        """Features -> the same, of unit length at every position."""
        return [functional.normalize(f, dim=1, eps=1e-4) for f in maps]

    def features_and_embedding(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, 3, H, W) in [-1, 1] -> normalised features; what the classifier sees: (B, 1280)."""
        found, last = self._maps(x)
        seen = functional.normalize(self.top(last).float().mean(dim=(2, 3)), dim=1)
        return self.normalised(found), seen

    def _maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        if self.imagenet_range:
            x = ((x + 1.0) / 2.0 - self.mean) / self.deviation
        found = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in MOBILENET_LAYERS:
                found.append(x.float())
        return found, x

    @staticmethod
    def distance(x: list[Tensor], x_hat: list[Tensor]) -> Tensor:
        """Mean over layers of the squared distance of normalised features: (B,) in [0, 4]."""
        total = x[0].new_zeros(len(x[0]))
        for a, b in zip(x, x_hat, strict=True):
            total = total + (a - b).square().sum(dim=1).mean(dim=(1, 2))
        return total / len(x)


def _fold_norms(network: nn.Module) -> None:
    """Fold every batch norm into the convolution before it; the network is frozen anyway."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                conv, norm = module[index], module[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(conv, norm)
                    module[index + 1] = nn.Identity()


def _pad_right_and_bottom(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    (x,) = inputs
    return (functional.pad(x, (1 - x.shape[-1] % 2, 1, 1 - x.shape[-2] % 2, 1)),)


@dataclass
class Perceived:
    """What the networks say of one batch."""

    distances: dict[str, Tensor]
    """By network, one value per picture that it looked at: (B,), or (part,) of MobileNetV2."""
    textures: dict[str, Tensor] = field(default_factory=dict)
    """Likewise, where they are wanted: ``glc.training.losses.texture.texture_distance``."""
    real: dict[str, list[Tensor]] = field(default_factory=dict)
    """Features of the originals by network, of those that looked; the next: of the decoded."""
    fake: dict[str, list[Tensor]] = field(default_factory=dict)


class PerceptualLoss(nn.Module):
    """Distances of pictures as several networks see them, which a discriminator may share.

    Args:
        names: networks to build, of ``NETWORKS``; others are neither built nor need a file.
        files: where their weights are.
        trained: False leaves all networks random: as fast as trained ones, for benchmarks and
            tests that must not need a file.

    Raises:
        TrainingError: weights are neither here nor to be downloaded; names all of them.
    """

    def __init__(
        self,
        names: Collection[str] = NETWORKS,
        files: FeatureFiles | None = None,
        trained: bool = True,
    ) -> None:
        super().__init__()
        self.names = tuple(name for name in NETWORKS if name in names)
        places = files or FeatureFiles()

        def squeeze() -> nn.Module:
            return Lpips("squeeze", places.squeeze() if trained else None, trained)

        def alex() -> nn.Module:
            return Lpips("alex", places.alex() if trained else None, trained)

        def mobilenet() -> nn.Module:
            return MobileNetFeatures(places.mobilenet_path() if trained else None, trained)

        builders = {"lpips": squeeze, "alex": alex, "mobilenet": mobilenet}
        built = build_all({name: builders[name] for name in self.names})
        self.networks = nn.ModuleDict(built)

    @property
    def mobilenet(self) -> MobileNetFeatures:
        """The network that looks from afar."""
        return cast(MobileNetFeatures, self.networks["mobilenet"])

    def forward(
        self,
        x: Tensor,
        x_hat: Tensor,
        names: Collection[str],
        part: int,
        shared: Collection[str] = (),
        textures: bool = False,
    ) -> Perceived:
        """Compare pictures.

        Args:
            x: (B, 3, H, W) in [-1, 1], the original.
            x_hat: same shape, the decoded picture; gradients flow into it.
            names: networks whose distance is wanted; the others do not run.
            part: MobileNetV2 looks at the first ``part`` pictures only.
            shared: these networks look in any case, since a discriminator needs their features.
            textures: compare the texture of what the networks of ``names`` see, too.
        """
        found = Perceived({})
        for name in self.names:
            if name not in names and name not in shared:
                continue
            network = cast("Lpips | MobileNetFeatures", self.networks[name])
            seen = part if name == "mobilenet" else len(x)
            with torch.no_grad():
                maps = network.maps(x[:seen])
                real = network.normalised(maps)
            maps_hat = network.maps(x_hat[:seen])
            fake = network.normalised(maps_hat)
            found.real[name], found.fake[name] = real, fake
            if name in names:
                found.distances[name] = network.distance(real, fake)
                if textures:
                    found.textures[name] = texture_distance(maps, maps_hat, x.shape[-1])
        return found

    def from_afar(self, x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
        """MobileNetV2 distances at half the size: what things are, rather than their texture.

        Args:
            x: (B, 3, H, W) in [-1, 1], sides even.
            x_hat: same shape; gradients flow into it.

        Returns:
            Distance of the features, and squared distance of the normalised means of the last
            ones, from which the network names its classes: (B,) in [0, 4] each.
        """
        with torch.no_grad():
            far, seen = self.mobilenet.features_and_embedding(functional.avg_pool2d(x, 2))
        far_hat, seen_hat = self.mobilenet.features_and_embedding(functional.avg_pool2d(x_hat, 2))
        return self.mobilenet.distance(far, far_hat), (seen - seen_hat).square().sum(dim=1)
