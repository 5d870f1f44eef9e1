"""What programs say to a terminal, or to a pipe that may be closed or full."""

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
def clean_streams() -> Iterator[None]:
    """Warnings become one plain line on stderr each, and names that are no text are printed with escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show
        yield


def _show(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if not issubclass(category, DeprecationWarning | FutureWarning):  # for programmers
        print(f"mvdiff: note: {printable(str(message))}", file=sys.stderr)


def flush_error() -> OSError | None:
    """Why standard output cannot take what it still holds."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def silence_stdout() -> None:
    """What is still to be written, at the end of the process too, goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
