"""Run by a Python that has bpy: installs the add-on's zip, drives it, and prints what the scene holds as JSON.

python blender_scene.py ADDON.zip RUN_FOLDER PICTURES MVDIFF_COMMAND PHOTO
"""

import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

NAME = "bl_ext.user_default.mvdiff"


def install(archive: str) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True)
    assert NAME in bpy.context.preferences.addons, list(bpy.context.preferences.addons.keys())


def state() -> dict:
    meshes = {each.name: mesh_record(each) for each in bpy.data.objects if each.type == "MESH"}
    cameras = {each.name: camera_record(each) for each in bpy.data.objects if each.type == "CAMERA"}
    groups = {each.name: [o.name for o in each.objects] for each in bpy.data.collections}
    return {"meshes": meshes, "cameras": cameras, "collections": groups, "active": bpy.context.scene.camera.name}


def mesh_record(each) -> dict:
    corners = [each.matrix_world @ Vector(v.co) for v in each.data.vertices]
    colors = each.data.color_attributes.get("uncertainty")
    values = [0.0] * (4 * len(each.data.vertices))
    if colors is not None:
        colors.data.foreach_get("color", values)
    return {
        "low": [min(c[axis] for c in corners) for axis in range(3)],
        "high": [max(c[axis] for c in corners) for axis in range(3)],
        "vertices": len(corners),
        "hidden": each.hide_render,
        "materials": [m.name for m in each.data.materials],
        "shown": sorted({p.material_index for p in each.data.polygons}),
        "colors": [] if colors is None else [min(values[::4]), max(values[::4])],
        "weight": each.get("weight"),
    }


def camera_record(each) -> dict:
    bpy.context.view_layer.update()
    origin = world_to_camera_view(bpy.context.scene, each, Vector((0, 0, 0)))
    return {"location": list(each.location), "origin": list(origin)}


def render(path: Path, camera: str) -> None:
    scene = bpy.context.scene
    scene.camera = bpy.data.objects[camera]
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", 8
    scene.render.resolution_x = scene.render.resolution_y = 192
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def light() -> None:
    world = bpy.data.worlds.new("light")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (1, 1, 1, 1)
    bpy.context.scene.world = world


def refusal(operator, **values) -> str:
    """The error that an operator reports."""
    try:
        operator(**values)
    except RuntimeError as error:
        return str(error)
    return ""


def probe(kind: str, arguments: list[str], folder: Path):
    """A modal operator's own methods around a running process, as its events call them: no events come here."""
    operators = importlib.import_module(f"{NAME}.job_operators")
    own = getattr(operators, kind)
    methods = {name: value for base in reversed(own.__mro__) for name, value in vars(base).items() if callable(value)}
    kept = ("modal", "conclude", "end", "tell", "stage", "finish")
    made = type("Probe", (), {name: methods[name] for name in kept})()
    made.report = lambda level, text: print(level, text)
    made.job, made.timer = operators.Job.start(arguments, folder), None
    return made


def generate(command: str, photo: str, folder: Path) -> dict:
    """Deliver timer events to the operator until it ends; none of them may hold Blender up."""
    job = importlib.import_module(f"{NAME}.job")
    bpy.context.scene.mvdiff.num_hypotheses = 2
    made = probe("Generate", job.generate_command(command, Path(photo), folder, 2, "fast", 0), folder)
    outcome, waits, told = {"PASS_THROUGH"}, [], []
    while outcome == {"PASS_THROUGH"}:
        time.sleep(0.2)
        running, start = made.job.running, time.perf_counter()
        outcome = made.modal(bpy.context, SimpleNamespace(type="TIMER"))
        waits += [time.perf_counter() - start] if running else []
        told.append(bpy.context.scene.mvdiff.status)
    root = bpy.context.scene.collection.children[-1]
    count = sum("mvdiff_hypothesis" in each for each in root.all_objects)
    return {"outcome": outcome.pop(), "longest_wait": max(waits), "hypotheses": count, "told": sorted(set(told))}


def stop(folder: Path) -> str:
    made = probe("Generate", [sys.executable, "-c", "import time; time.sleep(60)"], folder)
    outcome = made.modal(bpy.context, SimpleNamespace(type="ESC")).pop()
    assert made.job.process.returncode is not None
    return outcome


def jobs(command: str, photo: str, pictures: Path) -> dict:
    bpy.context.preferences.addons[NAME].preferences.command = command
    settings = bpy.context.scene.mvdiff
    settings.photo, settings.num_hypotheses = str(pictures / "photo.png"), 2
    (pictures / "broken.png").write_bytes(b"no picture")
    settings.photo = str(pictures / "broken.png")
    found = {"failed": refusal(bpy.ops.mvdiff.generate), "stopped": stop(pictures)}
    folder = pictures / "generated"
    found["generated"] = generate(command, photo, folder)
    root = bpy.context.scene.collection.children[-1]
    bpy.context.view_layer.objects.active = next(each for each in root.all_objects if each.type == "MESH")
    bpy.ops.mvdiff.plan_next_view()
    found["planned"] = [each.name.partition(".")[0] for each in root.all_objects if each.name.startswith("next")]
    return found


def main(archive: str, run: str, pictures: str, command: str, photo: str) -> None:
    install(archive)
    found = {"refused": refusal(bpy.ops.mvdiff.open_run, directory=pictures)}
    bpy.ops.mvdiff.open_run(directory=run)
    found["opened"] = state()
    light()
    render(Path(pictures) / "photo.png", "photo camera")
    render(Path(pictures) / "next.png", "next view camera")
    bpy.ops.mvdiff.show_look(look="UNCERTAINTY")
    render(Path(pictures) / "uncertainty.png", "photo camera")
    bpy.ops.mvdiff.show_hypothesis(step=1)
    found["stepped"] = state()
    bpy.ops.mvdiff.show_hypothesis(step=0)
    found["all"] = state()
    found |= jobs(command, photo, Path(pictures))
    bpy.ops.preferences.addon_disable(module=NAME)
    print("\nSTATE " + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
