"""Base color and opacity of a surface as its file states them, resolved into a Part."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from recon.core.conventions import linear_to_srgb, srgb_to_linear
from recon.io.meshes.atlas import Part
from recon.io.meshes.cutout import cut, cut_by_texture
from recon.io.meshes.textures import Texture
from recon.io.meshes.tint import bake_tint
from recon.io.meshes.wrapping import REPEAT, Wrap, unroll

AlphaMode = Literal["opaque", "mask", "blend"]
#: Vertex colors that differ by less are one color.
_SAME = 1 / 512


@dataclass(frozen=True)
class Look:
    """A material's base color (linear factor times texture) and its opacity."""

    factor: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    texture: Texture | None = None
    wrap: tuple[Wrap, Wrap] = REPEAT
    alpha: AlphaMode = "opaque"
    cutoff: float = 0.5


@dataclass(frozen=True)
class Surface:
    """Triangles with whatever their look may need."""

    vertices: Float[np.ndarray, "k 3"]
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "f 3 2"] | None = None
    """Per corner; (0, 0) is the upper left of the texture."""
    colors: Float[np.ndarray, "k 4"] | None = None
    """Linear RGBA that multiplies the base color."""
    attributes: dict[str, np.ndarray] | None = None

    def corners(self) -> "Surface":
        """The same triangles with vertices of their own."""
        flat = self.faces.reshape(-1)
        return replace(
            self,
            vertices=self.vertices[flat],
            faces=np.arange(len(flat)).reshape(-1, 3),
            colors=None if self.colors is None else self.colors[flat],
            attributes={name: values[flat] for name, values in (self.attributes or {}).items()},
        )


def paint(surface: Surface, look: Look | None) -> Part:
    """Multiply factor, texture and vertex colors, and cut away what is transparent.

    ``mask`` cuts at the cutoff. ``blend`` cuts at half of the greatest opacity: soft rims of leaves become edges,
    and glass of constant opacity stays whole. Without a look and vertex colors the part has no color.
    """
    if look is None and surface.colors is None:
        return Part(surface.vertices, surface.faces, attributes=surface.attributes)
    look = look or Look()
    factor = np.float32(look.factor)
    if surface.colors is not None and (not len(surface.colors) or np.ptp(surface.colors, axis=0).max() < _SAME):
        factor = factor * surface.colors.mean(0) if len(surface.colors) else factor
        surface = replace(surface, colors=None)
    if look.texture is None or surface.uv is None:
        return _plain(surface, factor, look)
    return _textured(surface, factor, look, look.texture)


def _plain(surface: Surface, factor: np.ndarray, look: Look) -> Part:
    surface = replace(surface, uv=None)
    if look.alpha != "opaque":
        opacity = factor[3] * (1 if surface.colors is None else surface.colors[:, 3])
        opacity = np.broadcast_to(opacity, len(surface.vertices)).astype(np.float32)
        surface = cut(surface, opacity, _threshold(look, float(opacity.max(initial=0))))
    rgb = np.broadcast_to(factor[:3], surface.vertices.shape)
    rgb = rgb if surface.colors is None else rgb * surface.colors[:, :3]
    return Part(surface.vertices, surface.faces, to_srgb(rgb), attributes=surface.attributes)


def _textured(surface: Surface, factor: np.ndarray, look: Look, texture: Texture) -> Part:
    rgb, uv, wrap = multiplied(texture.rgb, factor[:3]), surface.uv, look.wrap
    if look.alpha != "opaque" and len(uv):
        opacity = np.full(rgb.shape[:2], 255, np.uint8) if texture.alpha is None else texture.alpha
        peak = float(opacity.max() / 255 * factor[3])
        uv, both = unroll(uv, np.concatenate([rgb, opacity[..., None]], -1), wrap)
        surface, rgb = cut_by_texture(replace(surface, uv=uv), both, float(factor[3]), _threshold(look, peak))
        uv, wrap = surface.uv, REPEAT
    if surface.colors is not None and len(uv):
        if np.ptp(surface.colors[:, :3], axis=0).max() >= _SAME:
            uv, rgb = unroll(uv, rgb, wrap)
            uv, rgb = bake_tint(uv, rgb, surface.colors[surface.faces][..., :3])
            wrap = REPEAT
        else:  # only the opacity varies
            rgb = multiplied(rgb, surface.colors[:, :3].mean(0))
    return Part(surface.vertices, surface.faces, None, uv, rgb, surface.attributes, wrap)


def _threshold(look: Look, peak: float) -> float:
    """The opacity from which a surface is kept; nothing of an invisible one is."""
    if look.alpha == "mask":
        return look.cutoff
    return peak / 2 if peak > 1 / 64 else np.inf


def multiplied(
    rgb: UInt8[np.ndarray, "h w 3"], factor: Float[np.ndarray, "3"], shift: Float[np.ndarray, "3"] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """An sRGB image times a linear factor, plus ``shift``; the very same array where that changes nothing."""
    if np.allclose(factor, 1, atol=2e-3) and (shift is None or not shift.any()):
        return rgb
    tones = to_linear(np.arange(256, dtype=np.float32) / 255)[:, None] * factor
    table = np.rint(to_srgb(tones if shift is None else tones + shift) * 255).astype(np.uint8)
    return np.stack([table[:, i][rgb[..., i]] for i in range(3)], -1)


def to_srgb(linear: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    values = torch.from_numpy(np.ascontiguousarray(linear, dtype=np.float32)).clamp(0, 1)
    return linear_to_srgb(values).clamp(0, 1).numpy()


def to_linear(srgb: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return srgb_to_linear(torch.from_numpy(np.ascontiguousarray(srgb, dtype=np.float32))).numpy()
