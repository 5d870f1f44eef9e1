"""Add-on of Blender: generate hypotheses of the object in a photo, or open a finished run, in one frame."""

from types import ModuleType


def _modules() -> tuple[ModuleType, ...]:
    """Modules that register classes; imported late, so that those without bpy can be used outside of Blender."""
    from . import job_operators, panel, run_operators, settings

    return settings, run_operators, job_operators, panel


def register() -> None:
    for module in _modules():
        module.register()


def unregister() -> None:
    for module in reversed(_modules()):
        module.unregister()
