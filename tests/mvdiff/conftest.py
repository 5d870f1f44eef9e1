"""A tiny network with every other part real, and one finished run of it."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_networks import tiny_networks

from mvdiff.cli.main import main
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.weights.packing import save_packed
from recon import ReconstructionConfig


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    transformer, estimator = tiny_networks()
    save_packed({"transformer": transformer, "camera_estimator": estimator}, folder, {})
    return folder


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:56, 20:44] = (200, 80, 30, 255)
    rgba[20:30, 24:30] = (20, 80, 200, 255)
    path = tmp_path_factory.mktemp("photos") / "mug.png"
    Image.fromarray(rgba).save(path)
    return path


@pytest.fixture(scope="session")
def run(weights: Path):
    """Run a verb on the tiny weights, meshes of a draft's quality: (exit code, stdout, stderr)."""

    def call(*arguments) -> tuple[int, str, str]:
        arguments = [str(argument) for argument in arguments]
        if arguments[0] in ("generate", "views", "info", "refine", "feedback") and "--weights" not in arguments:
            arguments += ["--weights", str(weights)]
        if arguments[0] in ("generate", "views", "reconstruct", "refine", "feedback") and "--device" not in arguments:
            arguments += ["--device", "cpu"]
        if arguments[0] in ("generate", "refine", "feedback") and "--preset" not in arguments:
            arguments += ["--preset", "fast"]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(arguments)
            except SystemExit as stop:  # the parser's own errors
                code = stop.code
        return code, out.getvalue(), err.getvalue()

    return call


@pytest.fixture(scope="session")
def finished(run, photo: Path, tmp_path_factory) -> tuple[Path, dict]:
    """The folder and the record of one whole run of three hypotheses."""
    out = tmp_path_factory.mktemp("finished") / "out"
    code, text, error = run(
        "generate", photo, "--output-dir", out, "--num-hypotheses", 3, "--num-inference-steps", "2", "--json"
    )
    assert code == 0, error
    return out, json.loads(text)


@pytest.fixture(scope="session")
def model(weights: Path) -> ImageTo3D:
    return ImageTo3D.from_pretrained(weights, "cpu", reconstruction=ReconstructionConfig.preset("fast"))
