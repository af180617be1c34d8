"""``python -m ecc_rf`` is the command line."""

import sys

from ecc_rf.cli import main

if __name__ == "__main__":
    sys.exit(main())
