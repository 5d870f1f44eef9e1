"""Take a photo-like picture of a procedural scene.

``python tools/take_scene_photo.py room scene.png --seed 5``
"""

import sys

import tyro

from mvdiff.data.scenes.photo import TakeScenePhoto, take_scene_photo
from recon.core.errors import InputError


def main(arguments: list[str]) -> None:
    print(take_scene_photo(tyro.cli(TakeScenePhoto, args=arguments, description=__doc__)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
