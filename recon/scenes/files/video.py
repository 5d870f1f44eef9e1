"""Fly-through videos of a scene: animated WebP always, MP4 where PyAV is installed."""

import io
import math
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.io.folders import atomic_write, write_bytes
from recon.ops.panorama import equirect_places
from recon.rendering import Surface, render_mesh
from recon.scenes.scene import Scene

SUFFIXES = (".webp", ".mp4")
#: sRGB where neither surface nor sky is known.
_FOG = 0.5
#: Cameras rendered at a time: bounds the memory.
_TOGETHER = 8


def save_fly_through(
    scene: Scene, cameras: Cameras, path: str | os.PathLike, frames_per_second: float = 24.0, supersample: int = 2
) -> Path:
    """Render a scene along a path of cameras [v] and write it atomically as .webp or .mp4.

    Raises:
        InputError: The suffix is another one, the path has no camera, or .mp4 is asked for without PyAV.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"A video is written as {' or '.join(SUFFIXES)}, not '{path.name}': choose one of them.")
    if not len(cameras):
        raise InputError("A path without cameras makes no video: give at least one.")
    if path.suffix.lower() == ".mp4":
        _av()
    frames = fly_through(scene, cameras, supersample)
    write = _write_mp4 if path.suffix.lower() == ".mp4" else _write_webp
    return write(frames, path, frames_per_second)


def fly_through(scene: Scene, cameras: Cameras, supersample: int = 2) -> UInt8[np.ndarray, "v h w 3"]:
    """Frames of the textured mesh before the sky, gray where nothing is known."""
    surface, frames = Surface(scene.mesh), []
    for start in range(0, len(cameras), _TOGETHER):
        few = cameras[start : start + _TOGETHER]
        views = render_mesh(surface, few, supersample)
        rgb = views.rgb[0] * views.alpha[0] + backdrop(scene, few) * (1 - views.alpha[0])
        frames.append((rgb.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(frames)


def backdrop(scene: Scene, cameras: Cameras) -> Float[Tensor, "v 3 h w"]:
    """The sky behind all surfaces."""
    shape = (len(cameras), 3, cameras.height, cameras.width)
    if scene.sky is None:
        return torch.full(shape, _FOG)
    panorama = scene.sky.panorama
    places = equirect_places(cameras.rays()[1].reshape(shape[0], *shape[2:], 3), *panorama.shape[1:])
    where = places / places.new_tensor([panorama.shape[2], panorama.shape[1]]) * 2 - 1
    return torch.nn.functional.grid_sample(
        panorama.expand(len(cameras), -1, -1, -1), where, padding_mode="border", align_corners=False
    )


def look_around(frames: int = 72, size: int | tuple[int, int] = 256, fov: float = 70.0, sway: float = 0.25) -> Cameras:
    """A full turn at the photo's place that begins and ends with the photo's heading.

    Args:
        frames: Number of cameras.
        size: Image size, (width, height) or one side.
        fov: Vertical field of view in degrees.
        sway: Radius in scene units of the circle on which the camera moves, which shows depth by parallax.

    Returns:
        Cameras [frames].
    """
    turn = torch.arange(frames) / frames
    yaw = 2 * math.pi * (turn - (2 * math.pi * turn).sin() / (4 * math.pi))  # gently off, gently back
    forward = torch.stack([yaw.sin(), torch.zeros_like(yaw), -yaw.cos()], -1)
    position = sway * (forward - torch.tensor([0.0, 0.0, -1.0])) / 2
    return Cameras.look_at(position, position + forward, fov, size)


def _write_webp(frames: UInt8[np.ndarray, "v h w 3"], path: Path, rate: float) -> Path:
    from PIL import Image

    images, stream = [Image.fromarray(frame) for frame in frames], io.BytesIO()
    images[0].save(
        stream,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / rate),
        loop=0,
        quality=80,
        method=2,
    )
    return write_bytes(path, stream.getvalue())


def _av():
    try:
        import av
    except ImportError as error:
        raise InputError("MP4 needs PyAV: install it with pip install 'mvdiff[video]', or write .webp.") from error
    return av


def _write_mp4(frames: UInt8[np.ndarray, "v h w 3"], path: Path, rate: float) -> Path:
    av = _av()
    from fractions import Fraction

    height, width = (side // 2 * 2 for side in frames.shape[1:3])  # H.264 halves its colors' resolution
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames[:, :height, :width]:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path
