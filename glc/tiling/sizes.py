"""What becomes of a picture's size on the grids of the latents. Numbers only."""

from __future__ import annotations

from glc.config import IMAGE_STRIDE, LATENT_STRIDE

__all__ = ["grid_of", "inside", "padded", "round_up"]


def padded(height: int, width: int) -> tuple[int, int]:
    """Return the sides rounded up to whole positions of the hyper-latent, 64 pixels each."""
    return -height % IMAGE_STRIDE + height, -width % IMAGE_STRIDE + width


def grid_of(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of z, the hyper-latent."""
    return -(-height // IMAGE_STRIDE), -(-width // IMAGE_STRIDE)


def inside(height: int, width: int) -> tuple[int, int]:
    """Return how many rows and columns of y touch the picture; the others are never coded."""
    return -(-height // LATENT_STRIDE), -(-width // LATENT_STRIDE)


def round_up(value: int, grid: int) -> int:
    """Return the next multiple of ``grid``."""
    return -(-value // grid) * grid
