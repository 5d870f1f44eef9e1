"""The panel in the sidebar of the 3D view."""

import bpy


class MvdiffPanel(bpy.types.Panel):
    bl_idname = "VIEW3D_PT_mvdiff"
    bl_label = "mvdiff"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "mvdiff"

    def draw(self, context: bpy.types.Context) -> None:
        layout, own = self.layout, context.scene.mvdiff
        layout.use_property_split = True
        for name in ("photo", "output", "num_hypotheses", "seed", "preset"):
            layout.prop(own, name)
        layout.operator("mvdiff.generate", icon="PLAY")
        if own.status:
            layout.label(text=f"{own.status} (Esc stops)")
        layout.operator("mvdiff.open_run", icon="FILE_FOLDER")
        layout.separator()
        looks = layout.row(align=True)
        looks.operator("mvdiff.show_look", text="Appearance").look = "APPEARANCE"
        looks.operator("mvdiff.show_look", text="Uncertainty").look = "UNCERTAINTY"
        steps = layout.row(align=True)
        for text, step in (("Previous", -1), ("All", 0), ("Next", 1)):
            steps.operator("mvdiff.show_hypothesis", text=text).step = step
        layout.operator("mvdiff.plan_next_view", icon="CAMERA_DATA")


def register() -> None:
    bpy.utils.register_class(MvdiffPanel)


def unregister() -> None:
    bpy.utils.unregister_class(MvdiffPanel)
