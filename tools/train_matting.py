"""Train the matting network: python tools/train_matting.py --packs PACK.npz --output matte_network.safetensors."""

import tyro

from mvdiff.cli.exit_code import exit_code
from mvdiff.training.matting import MattingConfig, train_matting

if __name__ == "__main__":
    raise SystemExit(exit_code(lambda: train_matting(tyro.cli(MattingConfig, description=__doc__))))
