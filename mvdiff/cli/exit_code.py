"""Exit codes: bad input ends a program with one sentence and a code that scripts can read."""

import errno
import sys
from collections.abc import Callable
from typing import Any

from mvdiff.cli.terminal import clean_streams, flush_error, silence_stdout
from recon.core.errors import InputError
from recon.core.paths import printable

BAD_INPUT = 2
INTERRUPTED = 130
#: As a program ends that the system stops for writing to a closed pipe.
CLOSED_PIPE = 141
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def exit_code(program: Callable[[], Any], name: str = "error", interrupted: str | None = None) -> int:
    """0; 2 for input that cannot be used (told after ``name``); 130 after Ctrl-C (then ``interrupted`` is told).

    Standard output that is full ends with 2, too, and a pipe that its reader has closed with 141, silently.
    """
    code = 0
    try:
        with clean_streams(name):
            program()
    except InputError as error:
        print(f"{name}: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        code = BAD_INPUT
    except KeyboardInterrupt:
        if interrupted is not None:
            print(interrupted, file=sys.stderr)
        code = INTERRUPTED
    except MemoryError:
        print(f"{name}: The memory does not suffice: ask for less at once, or give smaller files.", file=sys.stderr)
        code = BAD_INPUT
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and error.errno not in _FULL:
            raise
        return _unwritable(error, name)  # files have sentences of their own: this is standard output
    failed = flush_error()
    return code if failed is None else _unwritable(failed, name)


def _unwritable(error: OSError, name: str) -> int:
    silence_stdout()
    if isinstance(error, BrokenPipeError):
        return CLOSED_PIPE
    print(f"{name}: Standard output cannot be written ({error.strerror}): send it elsewhere.", file=sys.stderr)
    return BAD_INPUT
