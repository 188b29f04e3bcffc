"""What the C library does with memory that a network has freed.

By default it goes back to the system, and every new tensor of a large picture costs a page fault
for each 4 KB: a fifth of the time of decoding 12 megapixels (docs/performance.md). A process of our
own may keep it; the library leaves such settings to whoever owns the process.
"""

from __future__ import annotations

import os
import sys

__all__ = ["keep_freed"]

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""

_KEPT_BYTES = 1 << 30
"""More free memory than this, at the end of the heap, is returned all the same."""

_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed() -> bool:
    """Have this process keep what it frees, with glibc; elsewhere nothing happens.

    Returns:
        Whether anything changed: not if the user has set one of glibc's own variables.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _VARIABLES):
        return False
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
