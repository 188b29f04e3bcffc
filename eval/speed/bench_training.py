"""How fast training is: crops per second of each phase, and the share of the chip's peak.

    python -m eval.speed.bench_training [--preset base] [--device cuda] [--batch 64 128] [--compile]

The measuring itself is in ``glc.training.engine.bench``, which may look into the training loop.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from glc.training.engine.bench import main

    sys.exit(main())
