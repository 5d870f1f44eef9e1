"""Pack folders of meshes (GLB, glTF, OBJ, PLY, STL, OFF) into one compact file for training.

``python tools/pack_meshes.py scans/ --output scans.npz --credits licences.csv --workers 8``
"""

import logging
import sys

import tyro

from mvdiff.cli.exit_code import exit_code
from mvdiff.data.sources.packing import PackMeshes, pack_meshes


def main(arguments: list[str]) -> None:
    config = tyro.cli(PackMeshes, args=arguments, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    count, skipped = pack_meshes(config)
    print(f"{config.output}: {count} meshes, {len(skipped)} skipped, {config.output.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
