"""Cameras of a run in Blender's scene."""

import math

import bpy
from mathutils import Vector

from .run_folder import OrbitCamera, Run


def add_cameras(run: Run, collection: bpy.types.Collection) -> bpy.types.Object:
    """Place the photo's camera, with the photo behind the objects, and that of the next view where it is planned.

    Returns:
        The photo's camera, as the most typical hypothesis has it.
    """
    photo = add_camera("photo camera", run.photo_cameras[run.representative], collection)
    if run.photo.is_file():
        background = photo.data.background_images.new()
        background.image = bpy.data.images.load(str(run.photo), check_existing=True)
        background.alpha = 0.5
        photo.data.show_background_images = True
    if run.next_view is not None:
        add_camera("next view camera", run.next_view, collection)
    return photo


def add_camera(name: str, camera: OrbitCamera, collection: bpy.types.Collection) -> bpy.types.Object:
    """A camera that frames a square picture as ``camera`` does."""
    data = bpy.data.cameras.new(name)
    data.angle = math.radians(camera.fov)
    data.shift_x, data.shift_y = -camera.center[0] / 2, camera.center[1] / 2
    data.display_size = 0.2
    made = bpy.data.objects.new(name, data)
    made.location = camera.position
    made.rotation_euler = (-Vector(camera.position)).to_track_quat("-Z", "Y").to_euler()
    collection.objects.link(made)
    return made
