"""How fast training is: crops per second of each phase, and the share of the chip's peak.

    python -m eval.speed.bench_training [--preset base] [--device cuda] [--batch 64 128] [--compile]

The measuring itself is in ``glc.training.engine.bench``, which may look into the training loop.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Measure as the command line says; returns the exit code."""
    from glc.training.engine import bench

    return bench.main()


if __name__ == "__main__":
    sys.exit(main())
