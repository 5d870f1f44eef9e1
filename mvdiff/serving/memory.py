"""Memory of this process."""

import resource
import sys
from pathlib import Path


def resident_bytes() -> int:
    """Memory of this process in bytes: the present value on Linux, else the peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
