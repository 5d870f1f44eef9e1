"""Render training pictures of meshes, mesh packs and procedural objects into a folder that training reads.

``python tools/render_dataset.py scans.npz --procedural 1000 --output data/views --workers 8``
"""

import logging
import sys

import tyro

from mvdiff.data.dataset import RenderDataset, render_dataset
from recon.errors import InputError


def main(arguments: list[str]) -> None:
    config = tyro.cli(RenderDataset, args=arguments, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))

    from mvdiff.cli.progress import progress_bars

    with progress_bars("rendering") as report:
        for done, total in render_dataset(config):
            report("objects", done, total)
    print(f"{config.output}: {total} records")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
