"""Preferences of the add-on, and settings that belong to a scene."""

import bpy


class MvdiffPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    command: bpy.props.StringProperty(
        name="Command",
        description="The mvdiff command, with its path if it is not on the system's path",
        default="mvdiff",
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "command")
        self.layout.label(text="Path of the command: run `which mvdiff` (Windows: `where mvdiff`) in a terminal.")


class MvdiffSettings(bpy.types.PropertyGroup):
    photo: bpy.props.StringProperty(name="Photo", description="Photo of one object", subtype="FILE_PATH")
    output: bpy.props.StringProperty(
        name="Run", description="Folder for the run; empty: beside the photo", subtype="DIR_PATH"
    )
    num_hypotheses: bpy.props.IntProperty(name="Hypotheses", description="Number of objects", default=4, min=1, max=64)
    seed: bpy.props.IntProperty(name="Seed", description="Seed of the run", default=0, min=0)
    preset: bpy.props.EnumProperty(
        name="Quality",
        description="Quality of the reconstruction",
        items=[("fast", "Fast", "A draft"), ("default", "Default", ""), ("quality", "Quality", "A finer grid")],
        default="default",
    )
    status: bpy.props.StringProperty(name="Status", description="What the running command is at", options={"SKIP_SAVE"})


_CLASSES = (MvdiffPreferences, MvdiffSettings)


def command(context: bpy.types.Context) -> str:
    """The mvdiff command."""
    return bpy.path.abspath(context.preferences.addons[__package__].preferences.command)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.mvdiff = bpy.props.PointerProperty(type=MvdiffSettings)


def unregister() -> None:
    del bpy.types.Scene.mvdiff
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
