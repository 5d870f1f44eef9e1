"""Blender's view of mesh files: albedo pictures, for tools/compare_readers.py. Runs in a Python that has ``bpy``."""

import json
import sys
from pathlib import Path

import bpy
from mathutils import Matrix

_IMPORTERS = {
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".gltf": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path, forward_axis="NEGATIVE_Z", up_axis="Y"),
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=path, forward_axis="NEGATIVE_Z", up_axis="Y"),
}
#: World of glTF (+Y up) to Blender's (+Z up).
_TO_BLENDER = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))


def main() -> None:
    """Read jobs (file, picture, camera to world, width of view) from a JSON file, one after the other."""
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            _render(job)
        except RuntimeError as error:
            print(f"{job['file']}: {error}", file=sys.stderr)


def _render(job: dict) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    _IMPORTERS[Path(job["file"]).suffix.lower()](job["file"])
    for thing in [*bpy.data.objects, *(m.shape_keys for m in bpy.data.meshes if m.shape_keys)]:
        thing.animation_data_clear()
    for material in bpy.data.materials:
        _show_base_color(material)
    for thing in bpy.data.objects:
        if thing.type == "MESH" and not any(slot.material for slot in thing.material_slots):
            thing.data.materials.clear()
            thing.data.materials.append(_plain(thing.data))
    scene = bpy.context.scene
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.type, camera.data.ortho_scale = "ORTHO", job["width"]
    camera.data.clip_start, camera.data.clip_end = job["width"] * 1e-3, job["width"] * 10
    camera.matrix_world = _TO_BLENDER @ Matrix(job["camera"])
    scene.collection.objects.link(camera)
    scene.camera = camera
    render = scene.render
    render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 16
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.use_denoising, scene.cycles.max_bounces, scene.cycles.transparent_max_bounces = False, 8, 32
    render.resolution_x = render.resolution_y = job["pixels"]
    render.film_transparent, render.threads_mode, render.threads = True, "FIXED", 1
    scene.view_settings.view_transform = "Standard"
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    render.filepath = job["picture"]
    bpy.ops.render.render(write_still=True)


def _plain(mesh: "bpy.types.Mesh") -> "bpy.types.Material":
    """An emission of the mesh's color attribute, or of an sRGB gray of 0.7."""
    material = bpy.data.materials.new("plain")
    material.use_nodes = True
    tree = material.node_tree
    light = tree.nodes.new("ShaderNodeEmission")
    light.inputs["Color"].default_value = (0.448, 0.448, 0.448, 1)
    if len(mesh.color_attributes):
        color = tree.nodes.new("ShaderNodeVertexColor")
        color.layer_name = mesh.color_attributes[0].name
        tree.links.new(color.outputs["Color"], light.inputs["Color"])
    output = next(n for n in tree.nodes if n.type == "OUTPUT_MATERIAL")
    tree.links.new(light.outputs[0], output.inputs["Surface"])
    return material


def _show_base_color(material: "bpy.types.Material") -> None:
    """Replace the lit surface by an emission of its base color, which is then the picture without any light."""
    tree = material.node_tree
    surface = next((n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"), None) if tree else None
    if surface is None:
        return
    light = tree.nodes.new("ShaderNodeEmission")
    color, emission = surface.inputs["Base Color"], surface.inputs["Emission Color"]
    dark = not color.is_linked and max(color.default_value[:3]) < 1e-3
    source = emission if dark and surface.inputs["Emission Strength"].default_value > 0 else color
    light.inputs["Color"].default_value = source.default_value
    if source.is_linked:
        tree.links.new(source.links[0].from_socket, light.inputs["Color"])
    mix, clear = tree.nodes.new("ShaderNodeMixShader"), tree.nodes.new("ShaderNodeBsdfTransparent")
    alpha = surface.inputs["Alpha"]
    mix.inputs[0].default_value = alpha.default_value
    if alpha.is_linked:
        tree.links.new(alpha.links[0].from_socket, mix.inputs[0])
    tree.links.new(clear.outputs[0], mix.inputs[1])
    tree.links.new(light.outputs[0], mix.inputs[2])
    output = next(n for n in tree.nodes if n.type == "OUTPUT_MATERIAL")
    tree.links.new(mix.outputs[0], output.inputs["Surface"])


main()
