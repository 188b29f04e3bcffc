"""Two pictures of one file, faithful and realistic, as one of a realism between: in every runtime.

Knows nothing of what made them.
"""

from __future__ import annotations

import numpy as np

from glc.runtime.protocol import Pixels

__all__ = ["mix"]


def mix(faithful: Pixels, realistic: Pixels, realism: float) -> Pixels:
    """Mix 8-bit pixels: ``(1 - r) * faithful + r * realistic`` in float32, halves to even.

    Of pixels, not of what the networks give, so that the rounding is the same wherever a file is
    shown; the browser computes the same (``web/lib/model.js``).

    Args:
        faithful: any shape.
        realistic: the same shape.
        realism: r, 0 to 1.
    """
    share = np.float32(realism)
    mixed = (np.float32(1) - share) * faithful.astype(np.float32)
    mixed += share * realistic.astype(np.float32)
    pixels: Pixels = np.rint(mixed).astype(np.uint8)
    return pixels
