"""Where the weights of the feature networks lie, and what to say when they do not.

Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from glc.install_hint import install_command
from glc.training.engine.nonfinite_guard import TrainingError

SQUEEZE_FILE = "squeezenet1_1-b8a52dc0.pth"
ALEX_FILE = "alexnet_features.safetensors"
MOBILENET_FILE = "mobilenet_v2.safetensors"

_PLACES = {
    "lpips": f"SqueezeNet ({SQUEEZE_FILE} in $TORCH_HOME/hub/checkpoints or in --features DIR)",
    "alex": f"AlexNet ({ALEX_FILE} in --features DIR)",
    "mobilenet": f"MobileNetV2 ({MOBILENET_FILE} in --features DIR, or --mobilenet FILE)",
}

Built = TypeVar("Built", bound=nn.Module)


@dataclass(frozen=True)
class FeatureFiles:
    """Files on this machine; what is not there is left to torchvision, which downloads."""

    folder: Path | None = None
    """Holds any of the files above, the ``.pth`` in ``hub/checkpoints`` if need be."""
    mobilenet: Path | None = None
    """Weights of MobileNetV2, before those in ``folder``."""

    def squeeze(self) -> dict[str, Tensor] | None:
        """Return SqueezeNet 1.1 as torchvision lays it out, or None if the folder has none."""
        path = self._find(SQUEEZE_FILE, f"hub/checkpoints/{SQUEEZE_FILE}")
        return None if path is None else torch.load(path, map_location="cpu", weights_only=True)

    def alex(self) -> dict[str, Tensor] | None:
        """Return AlexNet's ``features.N.weight`` and ``bias``, or None if the folder has none."""
        path = self._find(ALEX_FILE)
        return None if path is None else {n: v.float() for n, v in load_file(path).items()}

    def mobilenet_path(self) -> Path | None:
        """Return the file of MobileNetV2, or None if there is none."""
        return self.mobilenet or self._find(MOBILENET_FILE)

    def _find(self, *names: str) -> Path | None:
        places = [] if self.folder is None else [self.folder / name for name in names]
        return next((path for path in places if path.is_file()), None)


def build_all(builders: Mapping[str, Callable[[], Built]]) -> dict[str, Built]:
    """Build networks, and name all that lack their weights in one message.

    Raises:
        TrainingError: weights of one or more are neither here nor to be downloaded, or a package
            is not installed.
    """
    built: dict[str, Built] = {}
    missing: list[str] = []
    reason = ""
    for name, build in builders.items():
        try:
            built[name] = build()
        except ModuleNotFoundError as error:
            raise TrainingError(
                f"no module {error.name}; {install_command('train')} brings what it needs"
            ) from error
        except (OSError, HTTPException) as error:
            missing.append(_PLACES[name])
            reason = str(getattr(error, "reason", None) or error)
    if missing:
        raise TrainingError(
            f"no weights for {', '.join(missing)}, and no download ({reason}); put the files "
            "there, or give the network the weight 0, as --set alex_weight=0 does"
        )
    return built
