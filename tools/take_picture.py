"""Take a photo-like RGBA picture of a procedural object.

``python tools/take_picture.py hidden_handle_mug mug.png --seed 5 --hidden 190``
"""

import sys

import tyro

from mvdiff.data.render.pictures import TakePicture, take_picture
from recon.core.errors import InputError


def main(arguments: list[str]) -> None:
    print(take_picture(tyro.cli(TakePicture, args=arguments, description=__doc__)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
