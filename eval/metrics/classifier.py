"""Top-1 agreement: does a classifier see the same class in the original and the decoded picture?

Any classifier of torchvision by its name, with its default weights from torch's hub folder and its
own preprocessing.
"""

from __future__ import annotations

import torch
from PIL import Image

from eval.metrics.backbones import Unavailable, checkpoint, tensors
from eval.pictures import RGB


class Classifier:
    """A classifier of torchvision; the class of the last original is kept."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        """Load it.

        Raises:
            Unavailable: its weights are not in the hub folder.
            ValueError: torchvision has no such model.
        """
        from torchvision.models import get_model, get_model_weights

        weights = get_model_weights(name).DEFAULT
        state = tensors(checkpoint(weights.url.rsplit("/", 1)[1], weights.url))
        network = get_model(name, weights=None)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise Unavailable(f"the weights of {name} do not fit this torchvision") from error
        self._network = network.eval().requires_grad_(False).to(device)
        self._prepare = weights.transforms()
        self._device = device
        self._original: RGB | None = None
        self._known = -1

    def compare(self, x: RGB, x_hat: RGB) -> float:
        """Return 1 when the most likely class is the same, else 0."""
        if self._original is not x:
            self._original, self._known = x, self._top(x)
        return float(self._top(x_hat) == self._known)

    def _top(self, picture: RGB) -> int:
        with torch.inference_mode():
            batch = self._prepare(Image.fromarray(picture))[None].to(self._device)
            return int(self._network(batch).argmax())
