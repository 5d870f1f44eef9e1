"""Gather the meshes of a list from public git repositories, one GLB each: the photographed part of the training data.

``python tools/fetch_meshes.py configs/train/github_meshes.csv meshes --use training``, then
``python tools/pack_meshes.py meshes --credits configs/train/github_meshes.csv --output packs/github.npz --workers 8``
"""

import logging
import sys

import tyro

from mvdiff.data.listed import FetchMeshes, fetch_meshes
from recon.errors import InputError


def main(arguments: list[str]) -> None:
    config = tyro.cli(FetchMeshes, args=arguments, description=__doc__)
    count, skipped = fetch_meshes(config)
    print(f"{config.output}: {count} meshes, {len(skipped)} skipped")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
