"""``python -m eval.report``: the results in the README, made from a run."""

import sys

from eval.report.readme import main

sys.exit(main())
