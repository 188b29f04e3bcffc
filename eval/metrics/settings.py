"""What metrics are told: where networks run and where their weights lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eval.metrics.backbones import GIVEN_JUDGE, Unavailable


@dataclass(frozen=True)
class Settings:
    """The device, the folder of features, the judge's weights, the classifier."""

    device: str = "cpu"
    judge: Path | None = None
    """Weights of the judge; without, those in the folder of features."""
    classifier: str = "resnet50"
    """Of torchvision, for the metric `agree`."""
    features: Path | None = None
    """Folder of safetensors files that trunks are read from before torch's hub folder."""

    def judge_path(self) -> Path:
        """Return where the judge's weights are.

        Raises:
            Unavailable: nobody said it.
        """
        if self.judge is not None:
            return self.judge
        if self.features is not None:
            return self.features / GIVEN_JUDGE
        raise Unavailable(
            f"needs the judge's weights: --judge PATH of the safetensors file, or --features DIR "
            f"with {GIVEN_JUDGE}"
        )
