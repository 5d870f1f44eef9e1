"""USD preview surfaces as looks: diffuse color or texture, its coordinates' map, opacity. Needs the extra ``usd``."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from recon.io.meshes.looks import Look, multiplied
from recon.io.meshes.notes import Notes
from recon.io.meshes.textures import Texture, TextureError, decode_texture
from recon.io.meshes.wrapping import Wrap

_WRAPS: dict[str, Wrap] = {"mirror": "mirror", "clamp": "clamp", "black": "clamp"}
_UNUSED = {"normal": "normal map", "roughness": "roughness map", "metallic": "metal map", "occlusion": "occlusion map"}


@dataclass(frozen=True)
class Coordinates:
    """The primvar that a texture reads, and an affine map of its values."""

    name: str = "st"
    matrix: Float[np.ndarray, "2 3"] | None = None

    def apply(self, st: Float[np.ndarray, "f 3 2"]) -> Float[np.ndarray, "f 3 2"]:
        """Coordinates with v from the upper edge; USD counts it from the lower one."""
        if self.matrix is not None:
            st = st @ self.matrix[:, :2].T + self.matrix[:, 2]
        return (st * [1, -1] + [0, 1]).astype(np.float32)


@dataclass(frozen=True)
class Looks:
    """Reads materials, each once."""

    notes: Notes
    _read: dict[str, tuple[Look | None, Coordinates]] = field(default_factory=dict, repr=False)

    def of(self, material: Any) -> tuple[Look | None, Coordinates]:
        """The look of a material; None where it states no base color."""
        path = str(material.GetPath()) if material else ""
        if path not in self._read:
            self._read[path] = _read_look(material, self.notes)
        return self._read[path]


def _read_look(material: Any, notes: Notes) -> tuple[Look | None, Coordinates]:
    surface = material.ComputeSurfaceSource()[0] if material else None
    if not surface or surface.GetIdAttr().Get() != "UsdPreviewSurface":
        if material:
            notes.add("material without a preview surface", str(material.GetPath().name))
        return None, Coordinates()
    for name, kind in _UNUSED.items():
        if producer(surface.GetInput(name)) is not None:
            notes.add(kind)
    given, where = _base(surface), Coordinates()
    shader = producer(given)
    if shader is None:
        color = value_of(given)
        if color is None:
            return None, where
        look = Look((*(float(channel) for channel in color), 1.0))
    else:
        look, where = _read_texture(shader, notes)
    return (None if look is None else _with_opacity(surface, look, notes)), where


def _base(surface: Any) -> Any:
    """The input of the base color: emission, where nothing else is lit."""
    diffuse, light = surface.GetInput("diffuseColor"), surface.GetInput("emissiveColor")
    plain = value_of(diffuse)
    if producer(diffuse) is None and producer(light) is not None and (plain is None or max(plain) <= 1e-3):
        return light
    return diffuse


def _read_texture(shader: Any, notes: Notes) -> tuple[Look | None, Coordinates]:
    kind = shader.GetIdAttr().Get()
    if kind == "UsdPrimvarReader_float3" or kind == "UsdPrimvarReader_float4":
        return None, Coordinates()  # displayColor
    if kind != "UsdUVTexture":
        notes.add(f"colour computed by a shader {kind}")
        return None, Coordinates()
    texture = _picture(value_of(shader.GetInput("file")), notes)
    scale, bias, fallback = (value_of(shader.GetInput(name)) for name in ("scale", "bias", "fallback"))
    if texture is None:
        return (None if fallback is None else Look((*map(float, fallback[:3]), 1.0))), Coordinates()
    factor, shift = np.float32(scale or (1, 1, 1, 1)), np.float32(bias or (0, 0, 0, 0))
    rgb = multiplied(texture.rgb, factor[:3], shift[:3])
    wrap = tuple(_WRAPS.get(str(value_of(shader.GetInput(name))), "repeat") for name in ("wrapS", "wrapT"))
    return Look((1.0, 1.0, 1.0, float(factor[3])), replace(texture, rgb=rgb), wrap), _coordinates(shader, notes)


def _coordinates(shader: Any, notes: Notes) -> Coordinates:
    """The primvar behind a texture's ``st``, through any UsdTransform2d."""
    matrix, node = np.eye(3), producer(shader.GetInput("st"))
    while node is not None and node.GetIdAttr().Get() == "UsdTransform2d":
        matrix = matrix @ _transform(node)
        node = producer(node.GetInput("in"))
    name = "st"
    if node is not None and node.GetIdAttr().Get() == "UsdPrimvarReader_float2":
        name = str(value_of(node.GetInput("varname")) or "st")
    elif node is not None:
        notes.add("texture with coordinates computed by a shader")
    return Coordinates(name, None if np.array_equal(matrix, np.eye(3)) else matrix[:2])


def _transform(node: Any) -> Float[np.ndarray, "3 3"]:
    """Scale, then turn counter-clockwise, then shift (USD preview surface specification, Transform2d)."""
    scale, shift = value_of(node.GetInput("scale")) or (1, 1), value_of(node.GetInput("translation")) or (0, 0)
    turn = np.radians(float(value_of(node.GetInput("rotation")) or 0))
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array(
        [[cos * scale[0], -sin * scale[1], shift[0]], [sin * scale[0], cos * scale[1], shift[1]], [0, 0, 1]]
    )


def _with_opacity(surface: Any, look: Look, notes: Notes) -> Look:
    given = surface.GetInput("opacity")
    shader, threshold = producer(given), float(value_of(surface.GetInput("opacityThreshold")) or 0)
    if shader is None:
        opacity = value_of(given)
        if opacity is not None and opacity < 1:
            notes.add("see-through material that is taken as solid")
        return look
    mask = _picture(value_of(shader.GetInput("file")), notes) if shader.GetIdAttr().Get() == "UsdUVTexture" else None
    if mask is None or look.texture is None or mask.rgb.shape != look.texture.rgb.shape:
        notes.add("opacity map")
        return look
    output = str(given.GetConnectedSources()[0][0].sourceName) if given.GetConnectedSources()[0] else "a"
    alpha = mask.alpha if output == "a" else np.ascontiguousarray(mask.rgb[..., "rgb".find(output[0])])
    mode = "mask" if threshold > 0 else "blend"
    return replace(look, texture=Texture(look.texture.rgb, alpha), alpha=mode, cutoff=threshold or 0.5)


def producer(given: Any) -> Any:
    """The shader that computes an input; None where it is a constant."""
    from pxr import UsdShade

    source = UsdShade.Utils.GetValueProducingAttributes(given) if given else []
    if not source or UsdShade.Input.IsInput(source[0]):
        return None
    return UsdShade.Shader(source[0].GetPrim())


def value_of(given: Any) -> Any:
    """An input's constant, which may be stated by its material; None where a shader computes it."""
    from pxr import UsdShade

    source = UsdShade.Utils.GetValueProducingAttributes(given) if given else []
    return source[0].Get() if source and UsdShade.Input.IsInput(source[0]) else None


def _picture(asset: Any, notes: Notes) -> Texture | None:
    """A texture, out of a package too."""
    from pxr import Ar

    if not asset:
        notes.add("texture without an image")
        return None
    opened = Ar.GetResolver().OpenAsset(Ar.ResolvedPath(asset.resolvedPath)) if asset.resolvedPath else None
    if not opened:
        notes.add("missing texture", asset.path)
        return None
    try:
        return decode_texture(bytes(opened.GetBuffer()))
    except TextureError as error:
        notes.add("unreadable texture", f"{asset.path}: {error}")
        return None
