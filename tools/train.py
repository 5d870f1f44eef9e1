"""Train or fine-tune the networks: ``accelerate launch tools/train.py --config configs/train/finetune_lora.yaml``.

Any setting can follow, by its name here (``--optimizer.learning-rate 1e-4``) or as diffusers' training scripts call it
(``--learning_rate 1e-4 --train_batch_size 8 --resume_from_checkpoint latest``).
"""

import os
import sys

from mvdiff.training.arguments import parse_arguments
from recon.core.errors import InputError


def main(arguments: list[str]) -> None:
    config = parse_arguments(arguments, __doc__)
    if "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise InputError(
            "accelerate launch --cpu starts one process whatever --num_processes says: for several on the CPU, set "
            "ACCELERATE_USE_CPU=true and launch with --multi_gpu."
        )

    from mvdiff.training.trainer import Trainer

    Trainer(config).train()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
