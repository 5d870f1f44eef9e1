"""Refusal of what a backbone cannot do, in one sentence and before anything is written."""

from collections.abc import Iterable

from mvdiff.sampling.sampler import SamplerInfo
from mvdiff.sampling.settings import SamplingConfig
from recon.core.errors import InputError

#: Conditions in the words of the command line, and what can be done without them.
_NEEDS = {
    "known_views": ("an edited view", "pass --no-resample, which reweights the old hypotheses"),
    "more_photos": ("a second photo", "pass --no-resample, which reweights the old hypotheses"),
    "initial_views": ("views of kept hypotheses", "pass --no-resample, which reweights the old hypotheses"),
    "photo_cameras": ("a known photo camera", "leave it out"),
    "elevation": ("a known elevation", "leave out --elevation"),
}


def check_capabilities(info: SamplerInfo, config: SamplingConfig, conditions: Iterable[str] = ()) -> None:
    """Compare a request with what a sampler says of itself.

    Args:
        info: description of the sampler.
        config: settings of sampling.
        conditions: names of the conditions that are to be given.

    Raises:
        InputError: the sampler lacks a capability, or a setting would have no effect.
    """
    needed = set(conditions) | ({"elevation"} if getattr(config, "elevation", None) is not None else set())
    for condition in sorted(needed - info.conditions):
        words, remedy = _NEEDS[condition]
        raise InputError(f"The backbone {info.name} cannot be conditioned on {words}: {remedy}.")
    if config.candidates > 1 and info.gives == "shapes":
        raise InputError(
            f"Candidates are compared by how far their views contradict each other, and the shapes of the backbone "
            f"{info.name} have no views that could: pass --candidates 1."
        )
    if config.candidates > 1 and "depth" not in info.channels:
        raise InputError(
            f"The views of the backbone {info.name} have no depth by which candidates are compared: "
            "pass --candidates 1."
        )
    plain, own = SamplingConfig().sampling, dict(info.defaults)
    idle = [
        name
        for name, value in config.sampling.items()
        # The run compares candidates, whatever the sampler.
        if name not in info.settings | {"candidates"} and value not in (plain[name], own.get(name, plain[name]))
    ]
    if idle:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        raise InputError(f"The backbone {info.name} has no such setting: leave out {flags}.")


def check_shape_options(info: SamplerInfo, reconstructor: bool, geometry: bool) -> None:
    """Raise :class:`InputError` for options of the way from views to shapes, which a source of shapes does not take."""
    for given, flag in ((reconstructor, "--reconstructor"), (geometry, "--geometry")):
        if given:
            raise InputError(f"The backbone {info.name} gives shapes, so nothing is reconstructed: leave out {flag}.")
