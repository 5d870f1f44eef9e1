"""Operators that run the mvdiff command while Blender stays usable; without windows they wait for it."""

from collections.abc import Callable
from pathlib import Path

import bpy

from .cameras import add_camera
from .job import Job, generate_command, progress
from .run_folder import RunError, read_run
from .scene import FOLDER, add_run, run_collection
from .settings import command

_SECONDS = 0.5


class _Waiting:
    """A modal operator that looks after a process on a timer; Escape ends it."""

    job: Job
    timer: bpy.types.Timer | None = None
    report: Callable[[set[str], str], None]

    def begin(self, context: bpy.types.Context, arguments: list[str], folder: Path) -> set[str]:
        try:
            self.job = Job.start(arguments, folder)
        except RunError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if bpy.app.background:  # no events come there
            self.job.process.wait()
            return self.conclude(context)
        self.timer = context.window_manager.event_timer_add(_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            return self.end(context, {"CANCELLED"})
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if self.job.running:
            self.tell(context, self.stage(context))
            return {"PASS_THROUGH"}
        return self.conclude(context)

    def conclude(self, context: bpy.types.Context) -> set[str]:
        try:
            self.job.check()
            self.finish(context)
        except RunError as error:
            self.report({"ERROR"}, str(error))
            return self.end(context, {"CANCELLED"})
        return self.end(context, {"FINISHED"})

    def end(self, context: bpy.types.Context, outcome: set[str]) -> set[str]:
        self.job.stop()
        if self.timer is not None:
            context.window_manager.event_timer_remove(self.timer)
        self.tell(context, "")
        return outcome

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender closes: the command ends with it."""
        self.end(context, {"CANCELLED"})

    def tell(self, context: bpy.types.Context, text: str) -> None:
        context.scene.mvdiff.status = text
        for area in context.screen.areas if context.screen else ():
            area.tag_redraw()

    def stage(self, context: bpy.types.Context) -> str:
        """Stage of the command, for the panel."""
        return "working"

    def finish(self, context: bpy.types.Context) -> None:
        """Show what the command has made."""
        raise NotImplementedError


class Generate(_Waiting, bpy.types.Operator):
    bl_idname = "mvdiff.generate"
    bl_label = "Generate"
    bl_description = (
        "Sample and reconstruct hypotheses of the object in the photo; Escape stops, and Generate continues"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        own = context.scene.mvdiff
        photo = Path(bpy.path.abspath(own.photo))
        if not own.photo or not photo.is_file():
            self.report({"ERROR"}, "Choose a photo of one object first.")
            return {"CANCELLED"}
        folder = Path(bpy.path.abspath(own.output)) if own.output else photo.with_name(f"{photo.stem}-mvdiff")
        arguments = generate_command(command(context), photo, folder, own.num_hypotheses, own.preset, own.seed)
        return self.begin(context, arguments, folder)

    def stage(self, context: bpy.types.Context) -> str:
        return progress(self.job.folder, context.scene.mvdiff.num_hypotheses)

    def finish(self, context: bpy.types.Context) -> None:
        add_run(context, read_run(self.job.folder))


class PlanNextView(_Waiting, bpy.types.Operator):
    bl_idname = "mvdiff.plan_next_view"
    bl_label = "Plan Next View"
    bl_description = "Place a camera where one more photo is expected to be most informative"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return run_collection(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        run = run_collection(context)
        assert run is not None  # see poll
        folder = Path(run[FOLDER])
        return self.begin(context, [command(context), "next-view", str(folder)], folder)

    def finish(self, context: bpy.types.Context) -> None:
        run, own = read_run(self.job.folder), str(self.job.folder)
        root = next((each for each in context.scene.collection.children if each.get(FOLDER) == own), None)
        if root is None or run.next_view is None:
            raise RunError(f"The collection or the plan of '{own}' is gone: open the run and plan again.")
        for old in [each for each in root.all_objects if each.name.startswith("next view camera")]:
            bpy.data.objects.remove(old)
        cameras = next((each for each in root.children if each.name.endswith("cameras")), root)
        add_camera("next view camera", run.next_view, cameras)


_CLASSES = (Generate, PlanNextView)


def register() -> None:
    for each in _CLASSES:
        bpy.utils.register_class(each)


def unregister() -> None:
    for each in reversed(_CLASSES):
        bpy.utils.unregister_class(each)
