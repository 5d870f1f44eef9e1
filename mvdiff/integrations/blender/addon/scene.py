"""A run as collections of Blender's scene."""

import tempfile
from pathlib import Path

import bpy

from .cameras import add_cameras
from .colors import color_by_uncertainty, show
from .glb import trimmed
from .run_folder import Run, RunError

#: Custom property of a run's collection: its folder.
FOLDER = "mvdiff_folder"
#: Custom property of a hypothesis' object: its number.
INDEX = "mvdiff_hypothesis"


def add_run(context: bpy.types.Context, run: Run, spacing: float = 0.0) -> bpy.types.Collection:
    """Add a run: a collection with one collection for each mode, the median shape and the cameras.

    All hypotheses stand in one frame. Only the most typical one is shown, unless ``spacing`` sets them apart along X.
    Raises :class:`RunError` where Blender's glTF importer is switched off.
    """
    if not hasattr(bpy.types, "IMPORT_SCENE_OT_gltf"):
        raise RunError("Blender cannot read GLB files: enable the add-on glTF 2.0 format in the preferences.")
    root = _collection(f"mvdiff {run.name}", context.scene.collection)
    root[FOLDER] = str(run.folder)
    meshes = []
    for number, mode in enumerate(run.modes, 1):
        group = _collection(f"{run.name} mode {number} ({mode.mass:.0%})", root)
        for index in mode.members:
            made = add_mesh(run.mesh(index), f"hypothesis {index:03d}", group)
            made[INDEX] = index
            made["weight"] = run.weights[index]
            made.location.x = spacing * index
            meshes.append(made)
    _hide(meshes, spacing == 0, run.representative)
    if run.median.is_file():
        median = add_mesh(run.median, "median shape", _collection(f"{run.name} median", root))
        _hide([median], True)
        meshes.append(median)
    root["uncertainty_scale"] = color_by_uncertainty(meshes)
    show(meshes, uncertainty=False)
    context.scene.camera = add_cameras(run, _collection(f"{run.name} cameras", root))
    return root


def add_mesh(path: Path, name: str, collection: bpy.types.Collection) -> bpy.types.Object:
    """Import a GLB file as one object of ``collection``; Blender's importer turns +Y up into +Z up."""
    before = set(bpy.data.objects)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(trimmed(path))
        bpy.ops.import_scene.gltf(filepath=str(copy), merge_vertices=True)
    made = next(each for each in bpy.data.objects if each not in before and each.type == "MESH")
    for old in made.users_collection:
        old.objects.unlink(made)
    collection.objects.link(made)
    made.name = made.data.name = name
    return made


def hypotheses(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """The hypotheses of a run's collection, by number."""
    found = [each for each in collection.all_objects if INDEX in each]
    return sorted(found, key=lambda each: each[INDEX])


def run_collection(context: bpy.types.Context) -> bpy.types.Collection | None:
    """The run that holds the active object, or else the last one that was opened."""
    runs = [each for each in context.scene.collection.children if FOLDER in each]
    active = context.view_layer.objects.active
    own = [each for each in runs if active is not None and active.name in each.all_objects]
    return next(iter([*own, *reversed(runs)]), None)


def show_only(collection: bpy.types.Collection, index: int) -> None:
    """Hide all hypotheses but one; -1 shows all."""
    _hide(hypotheses(collection), index >= 0, index)


def _hide(objects: list[bpy.types.Object], hide: bool, kept: int = -1) -> None:
    for each in objects:
        hidden = hide and each.get(INDEX) != kept
        each.hide_render = hidden
        each.hide_set(hidden)


def _collection(name: str, parent: bpy.types.Collection) -> bpy.types.Collection:
    made = bpy.data.collections.new(name)
    parent.children.link(made)
    return made
