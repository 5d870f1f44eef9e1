"""The shell lines of the documentation: run where that is cheap, else parsed by the program that they call."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import tyro

ROOT = Path(__file__).resolve().parents[2]
QUICK = "--num-hypotheses 2 --num-inference-steps 2 --candidates 1"
#: Lines that hold one of these need weights, data or hours that a test has not: their arguments are parsed only.
_PARSED = (
    "mvdiff data",
    "mvdiff batch",
    "mvdiff calibrate",
    "mvdiff scene",
    "mvdiff app",
    "mvdiff serve",
    "mvdiff view",
    "mvdiff comfyui",
    "mvdiff posterior a.glb b.glb --photo photo.png --output-dir theirs",
    "--lora",
    "--weights",
    "hidden_handle_mug.png",
    "assets/demo.png",
)


def lines_of(block: str) -> list[str]:
    """Commands of a block: continued lines are joined, comments and blank lines dropped."""
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def check_line(line: str, resample: bool = True) -> None:
    """Run or parse one documented command; raises where it would fail. ``resample``: also run what samples again."""
    words = shlex.split(line, comments=True)
    while re.fullmatch(r"[A-Z_]+=\S+", words[0]):
        words.pop(0)
    program, rest = words[0], words[1:]
    checks = {"mvdiff": _mvdiff, "python": _python, "accelerate": _accelerate, "make": _make, "pip": _pip}
    assert program in checks, f"a test should know how to check {line!r}"
    samples = rest[:1] in (["refine"], ["feedback"]) and "--no-resample" not in rest
    if program == "mvdiff" and not any(part in line for part in _PARSED) and (resample or not samples):
        return _run(shlex.split(line.replace("--num-hypotheses 8", QUICK), comments=True)[1:])
    return checks[program](rest)


def _run(arguments: list[str]) -> None:
    from mvdiff.cli.main import main

    assert main(arguments) == 0, arguments


def _mvdiff(arguments: list[str]) -> None:
    verb, *rest = arguments
    command = importlib.import_module(f"mvdiff.cli.{verb.replace('-', '_')}").Command
    tyro.cli(command, args=rest, config=(tyro.conf.FlagCreatePairsOff,))


def _python(arguments: list[str]) -> None:
    script, *rest = arguments
    if script == "-m":
        return _mvdiff(rest[1:])
    assert (ROOT / script).is_file(), f"{script} does not exist"
    _TOOLS[Path(script).name](rest)


def _accelerate(arguments: list[str]) -> None:
    assert arguments.pop(0) == "launch"
    place = next(k for k, word in enumerate(arguments) if word.endswith(".py"))
    for word in arguments[:place]:
        assert not word.endswith(".yaml") or (ROOT / word).is_file(), f"{word} does not exist"
    _python(arguments[place:])


def _make(arguments: list[str]) -> None:
    rules = (ROOT / "Makefile").read_text()
    for target in arguments:
        assert re.search(rf"^{re.escape(target)}:", rules, re.MULTILINE), f"the Makefile has no rule {target}"


def _pip(arguments: list[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"\[([\w,]+)\]", " ".join(arguments)):
        assert set(extra.split(",")) <= set(known), f"pyproject.toml has no extra {extra}"


def _train(arguments: list[str]) -> None:
    from mvdiff.training.arguments import parse_arguments

    given = [str(ROOT / word) if word.startswith("configs/") else word for word in arguments]
    parse_arguments([word for word in given if word != "…" and word != "--config"] if "…" in given else given)


def _evaluate(arguments: list[str]) -> None:
    from mvdiff.evaluation.config import EvaluationConfig
    from mvdiff.evaluation.protocols.known_posterior import KnownPosteriorConfig
    from mvdiff.evaluation.protocols.novelty import NoveltyConfig
    from mvdiff.evaluation.protocols.registration import RegistrationEvaluation
    from mvdiff.evaluation.protocols.scene_calibrate import SceneCalibrationConfig
    from mvdiff.evaluation.protocols.scene_config import SceneEvaluationConfig
    from mvdiff.evaluation.protocols.second_photo import SecondPhotoConfig

    special = {"known-posterior": KnownPosteriorConfig, "novelty": NoveltyConfig, "second-photo": SecondPhotoConfig}
    special |= {"registration": RegistrationEvaluation}
    special |= {"scene": SceneEvaluationConfig, "scene-calibrate": SceneCalibrationConfig}
    kind = special.get(arguments[0])
    tyro.cli(kind or EvaluationConfig, args=arguments[1:] if kind else arguments)


def _benchmark(arguments: list[str]) -> None:
    from mvdiff.evaluation.benchmarks.job import BenchmarkConfig
    from mvdiff.evaluation.benchmarks.reconstruction_config import ReconstructionBenchmarkConfig
    from mvdiff.evaluation.benchmarks.rendering import RenderingBenchmarkConfig
    from mvdiff.evaluation.benchmarks.training import TrainingBenchmarkConfig

    parts = {"recon": ReconstructionBenchmarkConfig, "render": RenderingBenchmarkConfig}
    parts |= {"train": TrainingBenchmarkConfig, "job": BenchmarkConfig, "sample": BenchmarkConfig}
    kind = parts.get(arguments[0])
    tyro.cli(kind or BenchmarkConfig, args=arguments[1:] if kind else arguments)


def _dataclass_of(script: str, name: str):
    def parse(arguments: list[str]) -> None:
        spec = importlib.util.spec_from_file_location(script, ROOT / f"tools/{script}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        tyro.cli(getattr(module, name), args=arguments)

    return parse


def _batch_faults(arguments: list[str]) -> None:
    spec = importlib.util.spec_from_file_location("batch_faults", ROOT / "tools/batch_faults.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_parser().parse_args(arguments)


_TOOLS = {
    "batch_faults.py": _batch_faults,
    "train.py": _train,
    "evaluate.py": _evaluate,
    "benchmark.py": _benchmark,
    "pack_weights.py": _dataclass_of("pack_weights", "PackWeights"),
    "take_picture.py": _dataclass_of("take_picture", "TakePicture"),
    "draw_figure.py": _dataclass_of("draw_figure", "Figure"),
    "measure_mattes.py": _dataclass_of("measure_mattes", "MeasureMattes"),
}
