"""Long runs of the fuzzer: ``python tools/fuzz.py --seed 1 --cases 5000``. Escapes and hangs are printed."""

import argparse
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fuzz"))
sys.path.insert(0, str(Path(__file__).parents[1]))

MEMORY, SECONDS = 4 << 30, 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    arguments = parser.parse_args()
    from mutate import mutated
    from readers import readers

    from recon.core.errors import InputError

    def late(*_) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    known, bad = readers(), 0
    signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    for case in range(arguments.cases):
        name = list(known)[case % len(known)]
        with tempfile.TemporaryDirectory() as folder:
            path = known[name].make(Path(folder))
            path.write_bytes(mutated(path.read_bytes(), arguments.seed * 1_000_003 + case))
            signal.alarm(SECONDS)
            try:
                known[name].read(path)
            except InputError:
                pass
            except BaseException:
                bad += 1
                print(f"case {case}, {name}:\n{traceback.format_exc(limit=-3)}", flush=True)
            finally:
                signal.alarm(0)
    print(f"{bad} of {arguments.cases} cases escaped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
