"""``python -m mvdiff``: the command line of the interpreter at hand, whatever is on the path."""

import sys

from mvdiff.cli.main import main

sys.exit(main())
