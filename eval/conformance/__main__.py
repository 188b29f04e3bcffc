"""``python -m eval.conformance``: are the promises kept, on real pictures?"""

import sys

from eval.conformance.promises import main

sys.exit(main())
