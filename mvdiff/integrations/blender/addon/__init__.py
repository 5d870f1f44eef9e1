"""Add-on of Blender: generate hypotheses of the object in a photo, or open a finished run, in one frame."""

from . import job_operators, panel, run_operators, settings

_MODULES = (settings, run_operators, job_operators, panel)


def register() -> None:
    for module in _MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(_MODULES):
        module.unregister()
