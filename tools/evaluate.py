"""Score the hypotheses that the main job makes of pictures of known objects.

``python tools/evaluate.py --meshes DIR --num-hypotheses 8 --output results.json``

``python tools/evaluate.py known-posterior --output known.json`` tests the sampler against a posterior that is known;
``python tools/evaluate.py novelty --procedural 40 --output novelty.json`` measures the novelty score on objects and on
images without one;
``python tools/evaluate.py second-photo --meshes DIR --output second.json`` measures what a photo from the chosen next
view leaves open, and one from a random view;
``python tools/evaluate.py registration --meshes DIR`` finds the direction from which a turned mesh was photographed;
``python tools/evaluate.py scene --model truth|extrude|mean|nearest|WEIGHTS --output scene.json`` scores scenes of one
photo on held-out procedural scenes, or on real posed pictures (``--data``); ``scene-calibrate`` fits what they state.
"""

import shlex
import sys
from typing import Any

import tyro

from mvdiff.cli.exit_code import exit_code
from mvdiff.evaluation.config import EvaluationConfig


def main(arguments: list[str]) -> None:
    if arguments and arguments[0] in ("scene", "scene-calibrate"):
        results = scene(arguments[0], arguments[1:])
    elif arguments and arguments[0] == "registration":
        results = registration(arguments[1:])
    elif arguments and arguments[0] in ("known-posterior", "novelty", "second-photo"):
        results = special(arguments[0], arguments[1:])
    else:
        results = protocol(arguments)
    for key, value in results.get("goals", results["summary"]).items():
        if isinstance(value, int | float):
            print(f"{key:24s} {value:.4f}" if isinstance(value, float) else f"{key:24s} {value}")


def special(name: str, arguments: list[str]) -> dict[str, Any]:
    from mvdiff.evaluation.protocols.known_posterior import KnownPosteriorConfig, known_posterior
    from mvdiff.evaluation.protocols.novelty import NoveltyConfig, judge_novelty
    from mvdiff.evaluation.protocols.second_photo import SecondPhotoConfig, judge_second_photos
    from mvdiff.runs.loading import load_model

    command = shlex.join(["python", "tools/evaluate.py", name, *arguments])
    kinds = {"known-posterior": KnownPosteriorConfig, "novelty": NoveltyConfig, "second-photo": SecondPhotoConfig}
    pairs = () if name == "second-photo" else (tyro.conf.FlagCreatePairsOff,)  # --resample is there to be told, too
    config = tyro.cli(kinds[name], args=arguments, prog=f"evaluate.py {name}", config=pairs)
    config.check()
    if name == "known-posterior":
        return known_posterior(config, load_model(config.weights, config.device, calibration="none"), command)
    if name == "second-photo":
        return judge_second_photos(config, config.load(), command)
    return judge_novelty(config, load_model(config.weights, config.device, calibration=config.calibration), command)


def registration(arguments: list[str]) -> dict[str, Any]:
    from mvdiff.evaluation.protocols.registration import RegistrationEvaluation, evaluate_registration

    config = tyro.cli(RegistrationEvaluation, args=arguments, prog="evaluate.py registration")
    return evaluate_registration(config, shlex.join(["python", "tools/evaluate.py", "registration", *arguments]))


def scene(name: str, arguments: list[str]) -> dict[str, Any]:
    from mvdiff.evaluation.protocols.scene_calibrate import SceneCalibrationConfig
    from mvdiff.evaluation.protocols.scene_config import SceneEvaluationConfig

    kind = SceneEvaluationConfig if name == "scene" else SceneCalibrationConfig
    config = tyro.cli(kind, args=arguments, prog=f"evaluate.py {name}")
    config.check()

    from mvdiff.evaluation.protocols.scene_command import calibrate_scene_command, evaluate_scene_command

    command = shlex.join(["python", "tools/evaluate.py", name, *arguments])
    if name == "scene":
        return evaluate_scene_command(config, command)
    return calibrate_scene_command(config, command)


def protocol(arguments: list[str]) -> dict[str, Any]:
    config = tyro.cli(EvaluationConfig, args=arguments, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    config.check()

    from mvdiff.evaluation.jobs.runner import evaluate

    model = config.load()
    command = shlex.join(["python", "tools/evaluate.py", *arguments])
    return evaluate(config, model, command)


if __name__ == "__main__":
    told = "interrupted; run the same command again to continue."
    sys.exit(exit_code(lambda: main(sys.argv[1:]), interrupted=told))
