"""Gather the meshes of a list from public git repositories, one GLB each: the photographed part of the training data.

``python tools/fetch_meshes.py configs/train/github_meshes.csv meshes --use training``, then
``python tools/pack_meshes.py meshes --credits configs/train/github_meshes.csv --output packs/github.npz --workers 8``
"""

import logging
import sys

import tyro

from mvdiff.cli.exit_code import exit_code
from mvdiff.data.sources.listed import FetchMeshes, fetch_meshes


def main(arguments: list[str]) -> None:
    config = tyro.cli(FetchMeshes, args=arguments, description=__doc__)
    count, skipped = fetch_meshes(config)
    print(f"{config.output}: {count} meshes, {len(skipped)} skipped")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
