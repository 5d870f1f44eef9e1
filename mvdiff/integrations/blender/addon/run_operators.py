"""Operators on finished runs: open one, change what is shown."""

from pathlib import Path

import bpy

from .colors import show
from .run_folder import RunError, read_run
from .scene import add_run, hypotheses, run_collection, show_only


class OpenRun(bpy.types.Operator):
    bl_idname = "mvdiff.open_run"
    bl_label = "Open Run"
    bl_description = "Open the output folder of mvdiff generate"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - as Blender wants it

    directory: bpy.props.StringProperty(subtype="DIR_PATH")
    spacing: bpy.props.FloatProperty(
        name="Spacing", description="Distance between hypotheses along X; 0 lays them over each other", min=0.0
    )
    square: bpy.props.BoolProperty(
        name="Square Render", description="Render squares, as the photo's camera frames it", default=True
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            run = read_run(Path(bpy.path.abspath(self.directory)))
            add_run(context, run, self.spacing)
        except RunError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if self.square:
            context.scene.render.resolution_x = context.scene.render.resolution_y = 1024
        for warning in run.warnings:
            self.report({"WARNING"}, warning)
        return {"FINISHED"}


class ShowLook(bpy.types.Operator):
    bl_idname = "mvdiff.show_look"
    bl_label = "Show Look"
    bl_description = "Show the objects' own look or their uncertainty, from certain (blue) to guessed (red)"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    look: bpy.props.EnumProperty(
        items=[("APPEARANCE", "Appearance", "Texture"), ("UNCERTAINTY", "Uncertainty", "From blue to red")]
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return run_collection(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        run = run_collection(context)
        assert run is not None  # see poll
        meshes = [each for each in run.all_objects if each.type == "MESH"]
        show(meshes, self.look == "UNCERTAINTY")
        return {"FINISHED"}


class ShowHypothesis(bpy.types.Operator):
    bl_idname = "mvdiff.show_hypothesis"
    bl_label = "Show Hypothesis"
    bl_description = "Show the next or the previous hypothesis alone, or all of them"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    step: bpy.props.IntProperty(description="1 for the next, -1 for the previous, 0 for all", default=1)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return run_collection(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        run = run_collection(context)
        assert run is not None
        found = hypotheses(run)
        shown = [place for place, each in enumerate(found) if not each.hide_get()]
        start = shown[0] if len(shown) == 1 else (-1 if self.step > 0 else 0)
        show_only(run, (start + self.step) % len(found) if self.step else -1)
        return {"FINISHED"}


_CLASSES = (OpenRun, ShowLook, ShowHypothesis)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)


def unregister() -> None:
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
