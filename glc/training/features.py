"""Frozen feature networks: perceptual losses, and what a projected discriminator looks at.

Several networks on purpose: one alone is easily fooled (DESIGN section 6). The judge that
``eval`` uses must never appear here.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import lpips
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

MOBILENET_LAYERS = (1, 3, 6, 10, 13, 17)
"""Layers of MobileNetV2's ``features`` whose outputs are compared."""


class SqueezeLpips(nn.Module):
    """LPIPS v0.1 with SqueezeNet 1.1 (Zhang et al., arXiv 1801.03924).

    Needs ``squeezenet1_1-b8a52dc0.pth`` in ``$TORCH_HOME/hub/checkpoints`` or the network, unless
    ``trained`` is False.
    """

    def __init__(self, trained: bool = True) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # lpips calls torchvision in a way that is deprecated there.
            warnings.simplefilter("ignore", UserWarning)
            self.metric = lpips.LPIPS(net="squeeze", pnet_rand=not trained, verbose=False)
        self.requires_grad_(False)
        self.eval()

    def features(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> the normalised features of seven layers."""
        scaled = self.metric.scaling_layer(x)
        return [lpips.normalize_tensor(f) for f in self.metric.net(scaled)]

    def distance(self, x: list[Tensor], x_hat: list[Tensor]) -> Tensor:
        """Mean LPIPS of two lists of features: scalar."""
        total = x[0].new_zeros(())
        for head, a, b in zip(self.metric.lins, x, x_hat, strict=True):
            total = total + head((a - b).square()).mean()
        return total


class MobileNetFeatures(nn.Module):
    """Channel-normalised features of a MobileNetV2 1.0 trained on ImageNet (arXiv 1801.04381).

    Args:
        weights: safetensors of TensorFlow's release, whose stride-2 convolutions pad on the right
            and bottom only; None takes torchvision's own weights (downloaded by torchvision).
        trained: False leaves them random, and needs no file.
    """

    def __init__(self, weights: Path | None, trained: bool = True) -> None:
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

    def features(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> features of ``MOBILENET_LAYERS``, channel-normalised."""
        return self._features(x)[0]

    def features_and_embedding(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, 3, H, W) in [-1, 1] -> ``features``, and what the classifier sees: (B, 1280)."""
        found, last = self._features(x)
        return found, functional.normalize(self.top(last).float().mean(dim=(2, 3)), dim=1)

    def _features(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        if self.imagenet_range:
            x = ((x + 1.0) / 2.0 - self.mean) / self.deviation
        found = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in MOBILENET_LAYERS:
                found.append(functional.normalize(x.float(), dim=1, eps=1e-4))
        return found, x

    @staticmethod
    def distance(x: list[Tensor], x_hat: list[Tensor]) -> Tensor:
        """Mean over layers of the squared distance of normalised features: scalar in [0, 4]."""
        total = x[0].new_zeros(())
        for a, b in zip(x, x_hat, strict=True):
            total = total + (a - b).square().sum(dim=1).mean()
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


class PerceptualLoss(nn.Module):
    """LPIPS(squeeze) and MobileNetV2 feature distance, sharing features with a discriminator.

    Args:
        mobilenet: weights of ``MobileNetFeatures``.
        trained: False leaves both networks random: as fast as trained ones, for benchmarks and
            tests that must not need a file.
    """

    def __init__(self, mobilenet: Path | None = None, trained: bool = True) -> None:
        super().__init__()
        self.lpips = SqueezeLpips(trained)
        self.mobilenet = MobileNetFeatures(mobilenet, trained)

    def forward(
        self, x: Tensor, x_hat: Tensor, part: int
    ) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Compare pictures.

        Args:
            x: (B, 3, H, W) in [-1, 1], the original.
            x_hat: same shape, the decoded picture; gradients flow into it.
            part: MobileNetV2 looks at the first ``part`` pictures only.

        Returns:
            LPIPS, MobileNetV2 distance (scalars), MobileNetV2 features of x and of x_hat.
        """
        with torch.no_grad():
            squeeze_x, mobile_x = self.lpips.features(x), self.mobilenet.features(x[:part])
        mobile_x_hat = self.mobilenet.features(x_hat[:part])
        first = self.lpips.distance(squeeze_x, self.lpips.features(x_hat))
        return first, self.mobilenet.distance(mobile_x, mobile_x_hat), mobile_x, mobile_x_hat

    def from_afar(self, x: Tensor, x_hat: Tensor) -> tuple[Tensor, Tensor]:
        """MobileNetV2 distances at half the size: what things are, rather than their texture.

        Args:
            x: (B, 3, H, W) in [-1, 1], sides even.
            x_hat: same shape; gradients flow into it.

        Returns:
            Distance of the features, and squared distance of the normalised means of the last
            ones, from which the network names its classes: scalars in [0, 4].
        """
        with torch.no_grad():
            far, seen = self.mobilenet.features_and_embedding(functional.avg_pool2d(x, 2))
        far_hat, seen_hat = self.mobilenet.features_and_embedding(functional.avg_pool2d(x_hat, 2))
        apart = (seen - seen_hat).square().sum(dim=1).mean()
        return self.mobilenet.distance(far, far_hat), apart
