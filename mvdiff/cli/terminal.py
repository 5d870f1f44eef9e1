"""Output to a terminal, or to a pipe that may be closed or full."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from recon.core.paths import printable


def say(text: str) -> None:
    """Print lines; control characters in names of files do not reach the terminal."""
    print("\n".join(map(printable, text.split("\n"))))


@contextlib.contextmanager
def clean_streams(name: str = "mvdiff") -> Iterator[None]:
    """Print each warning as one line on stderr, after ``name``, and names that are not text with escapes."""

    def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
        if not issubclass(category, DeprecationWarning | FutureWarning):  # for programmers
            print(f"{name}: note: {printable(' '.join(str(message).split()))}", file=sys.stderr)

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def flush_error() -> OSError | None:
    """Why standard output cannot take what it still holds."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def silence_stdout() -> None:
    """Discard everything that is still to be written, also at the end of the process."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
