"""Seconds and peak memory of the main job: photo to files, or only its sampling or reconstruction.

``python tools/benchmark.py [job | sample | recon] [--num-hypotheses 1 8] [--device cpu] [--output benchmark.json]``
"""

import shlex
import sys
from typing import get_args

import tyro

from mvdiff.evaluation.benchmark import BenchmarkConfig, Part, benchmark, table
from recon.errors import InputError


def main(arguments: list[str]) -> None:
    command = shlex.join(["python", "tools/benchmark.py", *arguments])
    part = arguments.pop(0) if arguments and arguments[0] in get_args(Part) else "job"
    config = tyro.cli(BenchmarkConfig, args=arguments, description=__doc__)
    print(table(benchmark(part, config, command)), end="")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
