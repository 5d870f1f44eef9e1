"""Score the hypotheses that the main job makes of pictures of known objects.

``python tools/evaluate.py --meshes DIR --num-hypotheses 8 --output results.json``
"""

import shlex
import sys

import tyro

from mvdiff.evaluation.config import EvaluationConfig
from recon.errors import InputError


def main(arguments: list[str]) -> None:
    config = tyro.cli(EvaluationConfig, args=arguments, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    config.check()

    from mvdiff.cli.models import load_model
    from mvdiff.evaluation.runner import evaluate

    model = load_model(config.weights, config.device, config.preset, calibration=config.calibration)
    command = shlex.join(["python", "tools/evaluate.py", *arguments])
    results = evaluate(config, model, command)
    for key, value in results["summary"].items():
        if isinstance(value, int | float):
            print(f"{key:24s} {value:.4f}" if isinstance(value, float) else f"{key:24s} {value}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
