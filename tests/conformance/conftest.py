"""Fixtures of the conformance tests: the same seeded weights in upstream's code and in ours give the same tensors.

``MVDIFF_UPSTREAM=/folder`` holds one checkout a repository. Tests that need one are skipped without it; the golden
tensors of ``golden/NAME.safetensors`` hold our code to the same numbers then. ``MVDIFF_WRITE_GOLDEN=1`` writes them
anew.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import upstream
from golden import Golden


@pytest.fixture
def upstream_checkout() -> Callable[[str], Path]:
    """Folder of an upstream repository by its name; skips the test where there is none."""
    return upstream.checkout


@pytest.fixture
def golden() -> Callable[[str], Golden]:
    """Golden file by the name of a backbone."""
    return lambda name: Golden(Path(__file__).parent / "golden" / f"{name}.safetensors")
