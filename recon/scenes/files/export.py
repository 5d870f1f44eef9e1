"""All files of a scene, by name."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from recon.core.errors import InputError
from recon.core.views import ViewSet
from recon.io.folders import atomic_write
from recon.io.meshes.ply import write_ply
from recon.io.panorama import save_panorama
from recon.io.splats import save_splat_ply, save_spz
from recon.io.splats.ply import SplatAxes, columns
from recon.io.views import transforms_json
from recon.ops.panorama import from_views
from recon.scenes.files.glb import Engine, save_scene_glb
from recon.scenes.files.usd import save_scene_usd
from recon.scenes.files.video import look_around, save_fly_through
from recon.scenes.scene import Scene

SceneFormat = Literal["glb", "usdz", "ply", "spz", "points", "panorama", "views", "webp", "mp4"]

#: Views this near to the photo's place, in scene units, belong to its panorama.
_SAME_PLACE = 1e-3


@dataclass(frozen=True)
class SceneExportConfig:
    """Choices for a scene's files."""

    engine: Engine = "any"
    """Naming of the collision in the GLB: any, godot or unreal."""
    splat_axes: SplatAxes = "opencv"
    """Axes of the splat PLY: opencv (+Y down, as viewers of trained splats expect) or gltf (+Y up)."""
    panorama_height: int = 512
    """Rows of the panorama."""
    video_frames: int = 72
    """Frames of the fly-through."""
    video_size: int = 256
    """Side of the fly-through's frames in pixels."""


def export_scene(
    scene: Scene, folder: str | os.PathLike, formats: Sequence[str], config: SceneExportConfig | None = None
) -> list[Path]:
    """Write a scene's files of the named :data:`SceneFormat` into ``folder``, in meters; returns their paths.

    ``glb``: scene.glb, everything in one file. ``usdz``: scene.usdz. ``ply``, ``spz``: splats. ``points``: points.ply
    with normals, colors and provenance. ``panorama``: panorama.png at the photo's place, and sky.png if there is sky.
    ``views``: transforms.json with images, depth (16 bits, millimeters) and normals. ``webp``, ``mp4``: a turn on the
    spot.

    Raises:
        InputError: A format is unknown, or its optional package is missing.
    """
    folder, config = Path(folder), config or SceneExportConfig()
    unknown = [name for name in formats if name not in _WRITERS]
    if unknown:
        raise InputError(f"'{unknown[0]}' is no format of scenes: choose from {', '.join(_WRITERS)}.")
    return [path for name in formats for path in _WRITERS[name](scene, folder, config)]


def panorama_of(views: ViewSet, height: int) -> torch.Tensor:
    """Panorama [4 h w], rgb and coverage, of those views [1 v] that share the first one's place."""
    cameras = views.cameras[0]
    here = (cameras.position - cameras.position[0]).norm(dim=-1) < _SAME_PLACE
    image, weight = from_views(views.rgb[0][here], cameras[here], height)
    return torch.cat([image.clamp(0, 1), (weight > 0).float()])


def _metric(scene: Scene) -> torch.Tensor:
    return torch.diag(torch.tensor([scene.metres, scene.metres, scene.metres, 1.0]))


def _glb(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
    return [save_scene_glb(scene, folder / "scene.glb", config.engine)]


def _usdz(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
    return [save_scene_usd(scene, folder / "scene.usdz")]


def _ply(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
    return [save_splat_ply(scene.splats.transformed(_metric(scene)), folder / "splats.ply", config.splat_axes)]


def _spz(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
    return [save_spz(scene.splats.transformed(_metric(scene)), folder / "splats.spz")]


def _points(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
    mesh = scene.mesh.to("cpu")
    table = columns("xyz", mesh.vertices * scene.metres) | columns(("nx", "ny", "nz"), mesh.vertex_normals())
    color = (mesh.colors.clamp(0, 1) * 255).round().byte().numpy()
    table |= {name: color[:, i] for i, name in enumerate(("red", "green", "blue"))}
    table |= {name: values.numpy() for name, values in mesh.attributes.items()}
    comments = ["axes: right-handed, +X right, +Y up, -Z forward (glTF), metres"]
    return [write_ply(folder / "points.ply", table, comments=comments)]


def _panorama(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
    image = panorama_of(scene.views, config.panorama_height)
    files = [save_panorama(image[:3], folder / "panorama.png")]
    return files if scene.sky is None else [*files, save_panorama(scene.sky.panorama, folder / "sky.png")]


def _views(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
    views = scene.views
    c2w = views.cameras.c2w.clone()
    c2w[..., :3, 3] *= scene.metres
    files = [transforms_json.save(replace(views, cameras=replace(views.cameras, c2w=c2w)), folder)]
    millimetres = (views.depth[0, :, 0] * scene.metres * 1000).round().clamp(0, 65535).int().cpu().numpy()
    normals = ((views.normal[0] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    for number, (depth, normal) in enumerate(zip(millimetres.astype(np.uint16), normals, strict=True)):
        for name, picture in (("depth", depth), ("normal", normal)):
            path = folder / name / f"{number:03d}.png"
            with atomic_write(path) as temporary:
                Image.fromarray(picture).save(temporary)
            files.append(path)
    return files


def _video(suffix: str) -> Callable[[Scene, Path, SceneExportConfig], list[Path]]:
    def write(scene: Scene, folder: Path, config: SceneExportConfig) -> list[Path]:
        cameras = look_around(config.video_frames, config.video_size)
        return [save_fly_through(scene, cameras, folder / f"fly_through.{suffix}")]

    return write


_WRITERS: dict[str, Callable[[Scene, Path, SceneExportConfig], list[Path]]] = {
    "glb": _glb,
    "usdz": _usdz,
    "ply": _ply,
    "spz": _spz,
    "points": _points,
    "panorama": _panorama,
    "views": _views,
    "webp": _video("webp"),
    "mp4": _video("mp4"),
}
