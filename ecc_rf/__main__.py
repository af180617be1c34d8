"""``python -m ecc_rf`` is the command line."""

import sys

from ecc_rf.cli import main

sys.exit(main())
