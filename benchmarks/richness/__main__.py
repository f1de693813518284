"""``python -m benchmarks.richness``: see `run.py`."""

import sys

from benchmarks.richness.run import main

if __name__ == "__main__":
    sys.exit(main())
