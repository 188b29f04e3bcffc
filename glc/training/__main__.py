"""``python -m glc.training``: the same as ``glc train``."""

from __future__ import annotations

import sys

from glc.training.command import main

sys.exit(main())
