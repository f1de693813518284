"""``python -m benchmarks.richness``: see `run.py`."""

import sys

from benchmarks.richness.run import main

sys.exit(main())
