"""Help texts: choices are shown, flags are described by what passing them does, groups have readable titles."""

import re
from typing import get_args

import pytest

from mvdiff.cli.main import main
from mvdiff.sampling.generation import Preset
from recon import ReconstructionConfig
from recon.core.errors import InputError


def help_of(verb: str, capsys: pytest.CaptureFixture) -> str:
    """Help of one verb as a single line, without the frames."""
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    return re.sub(r"[│╭╮╰╯─\s]+", " ", capsys.readouterr().out)


@pytest.mark.parametrize("verb", ["generate", "views"])
def test_choices_are_shown(verb: str, capsys: pytest.CaptureFixture) -> None:
    text = help_of(verb, capsys)
    assert "--device {auto,cpu,cuda,cuda:N}" in text
    assert "--weights {embedded}|FOLDER" in text
    assert "--attention-backend {native,xformers,flash,sage,flex}" in text
    assert "--scheduler {euler,unipc}" in text
    assert "generation options" in text
    assert "model options" in text
    assert "config options" not in text


@pytest.mark.parametrize("verb", ["generate", "refine", "feedback", "reconstruct"])
def test_presets_are_shown(verb: str, capsys: pytest.CaptureFixture) -> None:
    assert "--preset {fast,default,quality}" in help_of(verb, capsys)


def test_calibrations_are_shown(capsys: pytest.CaptureFixture) -> None:
    assert "--calibration {default,none}|FILE" in help_of("generate", capsys)


@pytest.mark.parametrize("verb", ["generate", "refine"])
def test_flags_that_switch_off_say_so(verb: str, capsys: pytest.CaptureFixture) -> None:
    text = help_of(verb, capsys)
    assert "--no-matting Use the photo as it is, with its background" in text
    assert "--no-matting Cut" not in text
    if verb == "refine":
        assert "--no-resample Only reweight the old hypotheses" in text


def test_the_presets_are_those_of_the_reconstruction() -> None:
    assert all(isinstance(ReconstructionConfig.preset(name), ReconstructionConfig) for name in get_args(Preset))
    with pytest.raises(InputError, match=f"use {', '.join(get_args(Preset))}"):
        ReconstructionConfig.preset("slow")
