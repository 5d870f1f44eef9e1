"""Notebooks run cut down when the test suite executes them."""

import os

os.environ.setdefault("MVDIFF_SMALL", "1")
