"""Long runs of the fuzzer: ``python tools/fuzz.py --seed 1 --cases 5000``. Escapes, hangs and sockets are printed."""

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / place) for place in (".", "tests/support", "tests/fuzz")]

MEMORY, SECONDS = 4 << 30, 20
_SOCKETS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")


class _Late(BaseException):
    """No reader may catch it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--only", default="", help="part of the names of the readers to take")
    arguments = parser.parse_args()
    from diffusers.utils import logging
    from readers import readers

    logging.disable_progress_bar()

    opened: list[str] = []
    sys.addaudithook(lambda event, values: opened.append(f"{event}{values!r}") if event in _SOCKETS else None)
    signal.signal(signal.SIGALRM, _alarm)
    warnings.simplefilter("ignore")
    known = {name: reader for name, reader in readers().items() if arguments.only in name}
    dice, bad, slowest = random.Random(arguments.seed), 0, (0.0, "")
    with tempfile.TemporaryDirectory() as root:
        good = {name: _made(reader, Path(root) / str(k)) for k, (name, reader) in enumerate(known.items())}
        # Libraries map gigabytes that they never touch: the limit is on what the cases add to that.
        limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        names = dice.choices(list(known), [reader.cases for reader in known.values()], k=arguments.cases)
        for case, name in enumerate(names):
            opened.clear()
            began = time.perf_counter()
            told = _case(known[name].read, *good[name], arguments.seed * 1_000_003 + case)
            slowest = max(slowest, (time.perf_counter() - began, f"case {case}, {name}"))
            if told or opened:
                bad += 1
                print(f"case {case}, {name}:\n{told}{' '.join(opened)}", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{bad} of {arguments.cases} cases escaped; slowest {slowest[0]:.1f} s ({slowest[1]}); {memory:.1f} GiB")
    return 1 if bad else 0


def _made(reader: Any, folder: Path) -> tuple[Path, bytes]:
    folder.mkdir()
    path = reader.make(folder)
    reader.read(path)
    return path, path.read_bytes()


def _case(read: Callable[[Path], Any], path: Path, good: bytes, seed: int) -> str:
    """Return what went wrong with one damaged file; nothing where it was read, or refused in one sentence."""
    from mutate import mutated

    from recon.core.errors import InputError

    path.write_bytes(mutated(good, seed))
    signal.alarm(SECONDS)
    try:
        read(path)
    except InputError as error:
        return f"more than one line: {error}\n" if "\n" in str(error) else ""
    except BaseException:
        return traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)
    return ""


def _alarm(*_: object) -> None:
    raise _Late(f"more than {SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
