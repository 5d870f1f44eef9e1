"""``mvdiff VERB …``: finds the verb's module and nothing else, so that help is there at once."""

import dataclasses
import importlib
import itertools
import sys
from collections.abc import Sequence
from typing import get_type_hints

from mvdiff.cli.exit_code import BAD_INPUT, exit_code
from recon.core.errors import InputError

#: Verb to what it does; each lives in the module of its name (underscores for dashes) as the dataclass ``Command``.
VERBS = {
    "generate": "turn photos into N textured 3D hypotheses, their posterior and a report",
    "scene": "turn a photo of a place into N scenes that can be walked through",
    "batch": "turn any number of photos into results, on one machine or a cluster, resumable",
    "views": "sample views of photos, without reconstructing them",
    "reconstruct": "reconstruct a textured mesh from posed views of an object",
    "posterior": "infer the posterior of meshes from elsewhere, given a photo of their object",
    "next-view": "find the direction from which the next photo is expected to be most informative",
    "refine": "condition a finished run on a second photo or an edited view",
    "feedback": "accept or reject hypotheses and sample more like the accepted ones",
    "models": "list, pull, verify, inspect or convert the weights of published backbones",
    "app": "open the studio: drop a photo, judge hypotheses, export, in the browser",
    "serve": "serve the HTTP API: photo in, job, events, results out",
    "view": "open the report or the explorer of a finished run in the browser",
    "data": "render, import or check data sets for training",
    "calibrate": "calibrate stated probabilities and coverages on known meshes",
    "export": "convert a run, a posterior or a mesh to GLB, OBJ, PLY, USDZ, STL, 3MF, points, splats or a grid",
    "comfyui": "install the nodes into a ComfyUI folder",
    "blender-addon": "write the add-on for Blender as one zip",
    "info": "show versions, weights, devices and optional packages",
}


def usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items())
    return (
        "usage: mvdiff VERB …\n\n"
        "One photo in, N plausible 3D objects out, with calibrated uncertainty.\n\n"
        f"{verbs}\n\nRun `mvdiff VERB --help` for the options of a verb, `mvdiff --version` for the version."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for input that cannot be used, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    code = 0

    def run() -> None:
        nonlocal code
        code = _run(arguments)

    ended = exit_code(run, "mvdiff", "mvdiff: interrupted; run the same command again to continue.")
    return ended or code


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else BAD_INPUT
    verb, *rest = arguments
    if verb in ("-V", "--version"):
        import mvdiff

        print(f"mvdiff {mvdiff.__version__}")
        return 0
    if verb not in VERBS:
        raise InputError(f"unknown verb '{verb}'; choose one of {', '.join(VERBS)}.")
    _check_filled(rest)
    import tyro

    command_type = importlib.import_module(f"mvdiff.cli.{verb.replace('-', '_')}").Command
    command_type = _with_defaults(command_type, rest)
    tyro.cli(command_type, args=rest, prog=f"mvdiff {verb}", config=(tyro.conf.FlagCreatePairsOff,)).run()
    return 0


def _with_defaults(command_type: type, arguments: Sequence[str]) -> type:
    """The command whose sampling settings are by default those of the backbone that ``--backbone`` names."""
    options = dict(itertools.pairwise([part for each in arguments for part in each.split("=", 1)]))
    fields = {each.name: each for each in dataclasses.fields(command_type)}
    if "--backbone" not in options or "config" not in fields:
        return command_type
    from mvdiff.backbones.registry import backbone_defaults

    make = fields["config"].default_factory
    assert make is not dataclasses.MISSING
    known = dataclasses.replace(make(), **backbone_defaults(options["--backbone"]))
    kind = get_type_hints(command_type, include_extras=True)["config"]
    own = ("config", kind, dataclasses.field(default_factory=lambda: known))
    made = dataclasses.make_dataclass(command_type.__name__, [own], bases=(command_type,), frozen=True)
    made.__doc__ = command_type.__doc__
    return made


def _check_filled(arguments: Sequence[str]) -> None:
    """An unset variable of a shell is an empty argument, and an empty path the current folder."""
    for place, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if not argument.strip() or (name.startswith("--") and "=" in argument and not value.strip()):
            flag = name if value or name else (arguments[place - 1] if place else "")
            after = f" after {flag}" if flag.startswith("--") else ""
            raise InputError(f"An argument{after} is empty: is a variable of the shell not set?")
