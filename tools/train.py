"""Train or fine-tune the networks: ``accelerate launch tools/train.py --config configs/train/embedded.yaml``.

Any setting can follow on the command line, for example ``--data.packs objects.npz --optimizer.learning-rate 1e-4``.
"""

import sys

import tyro

from mvdiff.training.config import TrainConfig, load_config
from recon.errors import InputError


def main(arguments: list[str]) -> None:
    default = TrainConfig()
    arguments = [part for given in arguments for part in (given.split("=", 1) if given[:9] == "--config=" else [given])]
    if "--config" in arguments:
        place = arguments.index("--config")
        if place + 1 == len(arguments):
            raise InputError("--config takes the path of a YAML file.")
        default = load_config(arguments[place + 1])
        arguments = arguments[:place] + arguments[place + 2 :]
    config = tyro.cli(TrainConfig, args=arguments, default=default, description=__doc__)

    from mvdiff.training.trainer import Trainer

    Trainer(config).train()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
