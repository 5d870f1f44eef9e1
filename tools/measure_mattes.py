"""Count the wrong mattes of held-out photos: ``python tools/measure_mattes.py --objects 60 --views 2``."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from mvdiff.cli.exit_code import exit_code
from mvdiff.evaluation.protocols.mattes import by_kind, judged_mattes, reliability


@dataclass(frozen=True)
class MeasureMattes:
    objects: int = 60
    """Number of procedural objects."""
    views: int = 2
    """Photos of each object on each ground."""
    size: int = 192
    """Side of a photo in pixels."""
    seed: int = 0
    """First object's seed, counted from that of the held-out ones."""
    records: Path | None = None
    """JSON lines of every matte."""


def main(config: MeasureMattes) -> None:
    found = []
    for matte in judged_mattes(config.objects, config.views, config.size, config.seed):
        found.append(matte)
        if config.records is not None:
            with config.records.open("a") as file:
                file.write(json.dumps(asdict(matte)) + "\n")
    print("\n".join([*by_kind(found), "", *reliability(found)]))


if __name__ == "__main__":
    raise SystemExit(exit_code(lambda: main(tyro.cli(MeasureMattes, description=__doc__))))
