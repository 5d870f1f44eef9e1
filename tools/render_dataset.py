"""The same as ``mvdiff data render``, from a checkout."""

import sys

from mvdiff.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["data", "render", *sys.argv[1:]]))
