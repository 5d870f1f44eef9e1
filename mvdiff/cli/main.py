"""``mvdiff VERB …``: finds the verb's module and nothing else, so that help is there at once."""

import importlib
import sys
from collections.abc import Sequence

from mvdiff.cli.exit_code import BAD_INPUT, exit_code

#: Verb to what it does; each lives in the module of its name (underscores for dashes) as the dataclass ``Command``.
VERBS = {
    "generate": "photos to N textured 3D hypotheses, their posterior and a report",
    "views": "photos to sampled views only",
    "reconstruct": "views of an object (a saved ViewSet or a transforms.json) to a textured mesh",
    "next-view": "a finished run to the direction from which the next photo tells most",
    "refine": "a finished run and another picture of its object to a better one",
    "feedback": "a finished run and a judgement of its hypotheses to more of the right kind",
    "data": "meshes or posed photos to a data set for training, and a look at it",
    "calibrate": "known meshes to the calibration of stated probabilities and coverages",
    "export": "a finished run, a posterior or a mesh to GLB, OBJ, PLY, USDZ, points, splats or a grid",
    "info": "version, weights, devices and optional parts",
}


def usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items())
    return (
        "usage: mvdiff VERB …\n\n"
        "One photo in, N plausible 3D objects out, and an honest statement of what is guessed.\n\n"
        f"{verbs}\n\n`mvdiff VERB --help` says more; `mvdiff --version` tells the version."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for input that cannot be used, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else BAD_INPUT
    verb, *rest = arguments
    if verb in ("-V", "--version"):
        import mvdiff

        print(f"mvdiff {mvdiff.__version__}")
        return 0
    if verb not in VERBS:
        print(f"mvdiff: '{verb}' is no verb; the verbs are {', '.join(VERBS)}.", file=sys.stderr)
        return BAD_INPUT

    def run() -> None:
        import tyro

        command_type = importlib.import_module(f"mvdiff.cli.{verb.replace('-', '_')}").Command
        tyro.cli(command_type, args=rest, prog=f"mvdiff {verb}", config=(tyro.conf.FlagCreatePairsOff,)).run()

    return exit_code(run, "mvdiff", "mvdiff: interrupted; the same command goes on from here.")
