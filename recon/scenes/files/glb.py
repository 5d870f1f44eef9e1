"""One GLB with a scene's mesh, collider, splats, cameras, floor and sky, named as engines expect.

Everything is in meters, +Y up, and the photo's camera looks along -Z from the origin. Colors are lit as the photo is,
so that materials are unlit.
"""

import math
import os
from pathlib import Path
from typing import Any, Literal

import torch

from recon.core.cameras import Cameras
from recon.core.conventions import camera_to_opencv, srgb_to_linear
from recon.core.mesh import TexturedMesh
from recon.core.splats import Splats
from recon.io.folders import write_bytes
from recon.io.meshes.glb import check_mesh, custom_attributes, generator_name, image_bytes
from recon.io.meshes.gltf import LINEAR_MIPMAP_LINEAR, GlbBuilder
from recon.io.meshes.seams import CREASE_ANGLE, split
from recon.io.splats.ply import check
from recon.scenes.boxes import box_mesh, collision_boxes
from recon.scenes.scene import Scene

Engine = Literal["any", "godot", "unreal"]

PROVENANCE = {"0": "seen by the photo", "1": "implied: in the photo's frustum but hidden", "2": "guessed: outside it"}
#: Radius of the sky dome as a multiple of the scene's largest distance from the photo.
_DOME = 3.0
_SPLATS = "KHR_gaussian_splatting"


def save_scene_glb(
    scene: Scene, path: str | os.PathLike, engine: Engine = "any", texture_format: Literal["png", "jpeg"] = "jpeg"
) -> Path:
    """Write a scene atomically as one binary glTF 2.0 file.

    Nodes: ``scene``, ``splats`` (KHR_gaussian_splatting, points for readers without it), ``sky``, ``floor`` (the
    walkable surface), ``spawn``, ``photo_camera`` and ``view_NNN`` (real cameras), and the collision of the engine.

    Args:
        scene: The scene; its unit becomes ``scene.metres`` meters.
        path: File to write.
        engine: ``any`` keeps ``scene_collider`` and the floor in a second glTF scene, ``collision``, which viewers do
            not draw; ``godot`` names the collider ``scene_collider-colonly`` in the first scene; ``unreal`` writes
            convex boxes ``UCX_scene_00`` and so on, as Unreal takes the convex hull of each.
        texture_format: Format of the atlas and the sky.

    Returns:
        The file.
    """
    return write_bytes(path, scene_glb_bytes(scene, engine, texture_format))


def scene_glb_bytes(scene: Scene, engine: Engine = "any", texture_format: Literal["png", "jpeg"] = "jpeg") -> bytes:
    """The file that :func:`save_scene_glb` writes."""
    scale = torch.diag(torch.tensor([scene.metres, scene.metres, scene.metres, 1.0]))
    file = _SceneFile(texture_format)
    shown = [file.mesh("scene", scene.mesh.transformed(scale), unlit=True)]
    if len(scene.splats):
        shown.append(file.splats("splats", scene.splats.transformed(scale)))
    if scene.sky is not None:
        radius = _DOME * float(scene.mesh.vertices.norm(dim=-1).max())
        shown.append(file.mesh("sky", scene.sky.dome(radius).transformed(scale), unlit=True))
    shown += file.cameras(scene.views.cameras[0], scene.metres)
    if scene.floor.spawn is not None:
        place = (scene.floor.spawn * scene.metres).tolist()
        shown.append(file.builder.append("nodes", {"name": "spawn", "translation": place}))
    hidden = _collision(file, scene, engine, scale)
    if engine == "any":
        if len(scene.floor.mesh):
            hidden.append(file.mesh("floor", scene.floor.mesh.transformed(scale)))
        scenes = [("scene", shown), ("collision", hidden)]
    else:
        scenes = [("scene", shown + hidden)]
    return file.to_bytes(scenes, {"metres_per_scene_unit": scene.metres, "provenance": PROVENANCE})


def _collision(file: "_SceneFile", scene: Scene, engine: Engine, scale: torch.Tensor) -> list[int]:
    if engine == "unreal":
        boxes = collision_boxes(scene.field)
        return [file.mesh(f"UCX_scene_{i:02d}", box_mesh(box).transformed(scale)) for i, box in enumerate(boxes)]
    if not len(scene.collider):
        return []
    name = "scene_collider-colonly" if engine == "godot" else "scene_collider"
    return [file.mesh(name, scene.collider.transformed(scale))]


class _SceneFile:
    """Nodes collected into one file; each method returns the index of its node."""

    def __init__(self, texture_format: Literal["png", "jpeg"]) -> None:
        self.builder, self.texture_format = GlbBuilder(), texture_format
        self.extensions: set[str] = set()

    def mesh(self, name: str, mesh: TexturedMesh, unlit: bool = False) -> int:
        """A node with a mesh: its texture, else its vertex colors, else plain triangles to collide with."""
        check_mesh(mesh)
        textured = mesh.uv is not None and mesh.texture is not None
        bare = TexturedMesh(mesh.vertices, mesh.faces)
        # What is only collided with needs no normals: its vertices stay shared, its boxes convex.
        parts = split(mesh if textured else bare, CREASE_ANGLE if unlit else 180.0)
        attributes = {"POSITION": self.builder.vertex_data(parts.positions, bounds=True)}
        primitive: dict[str, Any] = {"attributes": attributes, "mode": 4}
        primitive["indices"] = self.builder.index_data(parts.faces, len(parts.positions))
        if unlit:
            attributes["NORMAL"] = self.builder.vertex_data(parts.normals)
            if textured:
                attributes["TEXCOORD_0"] = self.builder.vertex_data(parts.uv)
            primitive["material"] = self._material(name, mesh)
        for key, values in mesh.attributes.items():
            rows = values.detach().cpu().float().numpy()[parts.source]
            attributes |= {name: self.builder.vertex_data(row) for name, row in custom_attributes(key, rows).items()}
        index = self.builder.append("meshes", {"name": name, "primitives": [primitive]})
        return self.builder.append("nodes", {"name": name, "mesh": index})

    def _material(self, name: str, mesh: TexturedMesh) -> int:
        look: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
        if mesh.texture is not None:
            image = self.builder.image(image_bytes(mesh.texture.permute(1, 2, 0)), self.texture_format)
            look["baseColorTexture"] = {"index": self.builder.texture(image, LINEAR_MIPMAP_LINEAR)}
        self.extensions.add("KHR_materials_unlit")
        # A room has an inside only, yet a camera may come to stand outside of it.
        material = {"name": name, "pbrMetallicRoughness": look, "doubleSided": True}
        return self.builder.append("materials", material | {"extensions": {"KHR_materials_unlit": {}}})

    def splats(self, name: str, splats: Splats) -> int:
        """A node with Gaussians: linear scales, opacities in 0 to 1, quaternions x, y, z, w."""
        splats = check(splats).to("cpu")
        color = torch.cat([srgb_to_linear(splats.color.clamp(0, 1)), splats.opacity[:, None]], -1)
        data = self.builder.vertex_data
        attributes = {
            "POSITION": data(splats.position.numpy(), bounds=True),
            "COLOR_0": data(color.numpy()),
            f"{_SPLATS}:ROTATION": data(splats.rotation.roll(-1, -1).numpy()),
            f"{_SPLATS}:SCALE": data(splats.scale.numpy()),
            f"{_SPLATS}:OPACITY": data(splats.opacity.numpy()),
            f"{_SPLATS}:SH_DEGREE_0_COEF_0": data(splats.harmonics.numpy()),
        }
        extension = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
        primitive = {"attributes": attributes, "mode": 0, "extensions": {_SPLATS: extension}}
        self.extensions.add(_SPLATS)
        index = self.builder.append("meshes", {"name": name, "primitives": [primitive]})
        return self.builder.append("nodes", {"name": name, "mesh": index})

    def cameras(self, cameras: Cameras, metres: float) -> list[int]:
        """Nodes with cameras: the photo's first. glTF has no principal point: a view off its axis is centered."""
        matrices = camera_to_opencv(cameras.c2w, "opengl").double().cpu().clone()  # its own inverse
        matrices[:, :3, 3] *= metres
        nodes = []
        for number, (matrix, lens) in enumerate(zip(matrices, cameras.intrinsics.double().cpu(), strict=True)):
            focal_x, focal_y = lens[0, 0].item(), lens[1, 1].item()
            perspective = {
                "yfov": 2 * math.atan(0.5 * cameras.height / focal_y),
                "aspectRatio": cameras.width / focal_x * focal_y / cameras.height,
                "znear": 0.01,
            }
            name = "photo_camera" if number == 0 else f"view_{number:03d}"
            index = self.builder.append("cameras", {"name": name, "type": "perspective", "perspective": perspective})
            nodes.append(
                self.builder.append("nodes", {"name": name, "camera": index, "matrix": matrix.T.flatten().tolist()})
            )
        return nodes

    def to_bytes(self, scenes: list[tuple[str, list[int]]], extras: dict[str, Any]) -> bytes:
        self.builder.json["asset"] = {"version": "2.0", "generator": generator_name()}
        if self.extensions:
            self.builder.json["extensionsUsed"] = sorted(self.extensions)
        for name, nodes in scenes:
            if nodes:
                self.builder.append("scenes", {"name": name, "nodes": nodes, "extras": extras})
        self.builder.json["scene"] = 0
        return self.builder.to_bytes()
