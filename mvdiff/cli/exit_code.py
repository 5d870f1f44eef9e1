"""Exit codes: bad input ends a program with one sentence and a code that scripts can read."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from recon.core.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130


def exit_code(program: Callable[[], Any], name: str = "error", interrupted: str | None = None) -> int:
    """0, 2 for input that cannot be used (told after ``name``), 130 after Ctrl-C (then ``interrupted`` is told)."""
    try:
        with plain_warnings(name):
            program()
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        if interrupted is not None:
            print(interrupted, file=sys.stderr)
        return INTERRUPTED
    return 0


@contextlib.contextmanager
def plain_warnings(name: str) -> Iterator[None]:
    """Print each warning as one line on standard error, without its place in the source."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"{name}: note: {' '.join(str(message).split())}", file=sys.stderr)

    shown, warnings.showwarning = warnings.showwarning, show
    try:
        yield
    finally:
        warnings.showwarning = shown
