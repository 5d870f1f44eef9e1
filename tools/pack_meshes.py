"""Pack folders of meshes (GLB, glTF, OBJ, PLY, STL, OFF) into one compact file for training.

``python tools/pack_meshes.py scans/ --output scans.npz --credits licences.csv --workers 8``
"""

import logging
import sys

import tyro

from mvdiff.data.packing import PackMeshes, pack_meshes
from recon.errors import InputError


def main(arguments: list[str]) -> None:
    config = tyro.cli(PackMeshes, args=arguments, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    count, skipped = pack_meshes(config)
    print(f"{config.output}: {count} meshes, {len(skipped)} skipped, {config.output.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
