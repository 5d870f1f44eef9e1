"""glTF materials as looks: the base color, whichever of the standard's ways states it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from recon.io.meshes.gltf_reader.container import TRANSFORM, Gltf
from recon.io.meshes.looks import Look
from recon.io.meshes.textures import MAX_SIDE, Texture, TextureError, decode_texture
from recon.io.meshes.wrapping import Wrap

_WRAPS: dict[int, Wrap] = {10497: "repeat", 33648: "mirror", 33071: "clamp"}
_SOURCES = ("EXT_texture_webp", "EXT_texture_avif", "MSFT_texture_dds", "KHR_texture_basisu")
#: Textures that the mesh has no place for: where they stand, and what they are called.
_UNUSED_MAPS = ("metallicRoughnessTexture", "normalTexture", "occlusionTexture")
_SPECULAR = "KHR_materials_pbrSpecularGlossiness"


@dataclass(frozen=True)
class Coordinates:
    """The texture coordinates that a material's texture reads."""

    channel: int = 0
    matrix: Float[np.ndarray, "2 3"] | None = None
    """Affine map of KHR_texture_transform."""

    def apply(self, uv: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 2"]:
        if self.matrix is None:
            return uv
        return (uv @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)


@dataclass(frozen=True)
class Materials:
    """Reads materials and images, each once."""

    gltf: Gltf
    _looks: dict[int, tuple[Look, Coordinates]] = field(default_factory=dict, repr=False)
    _images: dict[int, Texture | None] = field(default_factory=dict, repr=False)

    def look(self, index: int | None) -> tuple[Look | None, Coordinates]:
        """A primitive's look; None for the default material."""
        if index is None:
            return None, Coordinates()
        if index not in self._looks:
            self._looks[index] = self._read(self.gltf.entry("materials", index))
        return self._looks[index]

    def _read(self, material: dict[str, Any]) -> tuple[Look, Coordinates]:
        factor, info = self._base(material)
        texture, wrap, where = self._texture(info)
        mode = {"MASK": "mask", "BLEND": "blend"}.get(material.get("alphaMode", "OPAQUE"), "opaque")
        if mode == "blend" and factor[3] < 1 and (texture is None or texture.alpha is None):
            self.gltf.notes.add("see-through material that is taken as solid", material.get("name", ""))
        self._count_unused(material)
        return Look(factor, texture, wrap, mode, float(material.get("alphaCutoff", 0.5))), where

    def _base(self, material: dict[str, Any]) -> tuple[tuple[float, ...], dict[str, Any] | None]:
        """The linear factor RGBA and the texture that it multiplies.

        A base color that is black, or not stated at all, gives way to emission: scans are often stored as light.
        """
        extensions = material.get("extensions") or {}
        specular = extensions.get(_SPECULAR)
        if specular is not None:
            info, stated = specular.get("diffuseTexture"), specular.get("diffuseFactor")
        else:
            surface = material.get("pbrMetallicRoughness") or {}
            info, stated = surface.get("baseColorTexture"), surface.get("baseColorFactor")
        factor = _floats(stated, (1.0, 1.0, 1.0, 1.0))
        light, picture = _floats(material.get("emissiveFactor"), (0.0, 0.0, 0.0)), material.get("emissiveTexture")
        if max(light) <= 0 or "KHR_materials_unlit" in extensions:
            return factor, info
        black = max(factor[:3]) <= 1e-3
        if black or (picture is not None and info is None and stated is None):
            strength = float((extensions.get("KHR_materials_emissive_strength") or {}).get("emissiveStrength", 1))
            peak = max(1.0, max(light) * strength)
            return (*(value * strength / peak for value in light), factor[3]), picture
        if picture is not None:
            self.gltf.notes.add("emission map")
        return factor, info

    def _texture(self, info: dict[str, Any] | None) -> tuple[Texture | None, tuple[Wrap, Wrap], Coordinates]:
        if info is None:
            return None, ("repeat", "repeat"), Coordinates()
        stated = self.gltf.entry("textures", info["index"])
        sampler = {} if stated.get("sampler") is None else self.gltf.entry("samplers", stated["sampler"])
        wrap = tuple(_WRAPS.get(sampler.get(name, 10497), "repeat") for name in ("wrapS", "wrapT"))
        return self._picture(stated), wrap, _coordinates(info)

    def _picture(self, texture: dict[str, Any]) -> Texture | None:
        """The first of a texture's sources that can be read; the standard's own is the last resort."""
        extensions = texture.get("extensions") or {}
        sources = [extensions[name].get("source") for name in _SOURCES if name in extensions] + [texture.get("source")]
        sources = [source for source in sources if source is not None]
        failures = []
        for source in sources:
            if source not in self._images:
                try:
                    self._images[source] = self._decode(self.gltf.entry("images", source))
                except (TextureError, OSError) as error:
                    failures.append((source, error))
                    continue
            if self._images[source] is not None:
                return self._images[source]
        for source, error in failures:
            self._images[source] = None
            self._lost(source, error)
        if not sources:
            self.gltf.notes.add("texture without an image")
        return None

    def _decode(self, image: dict[str, Any]) -> Texture:
        if image.get("bufferView") is not None:
            data = bytes(self.gltf.view(image["bufferView"]))
        elif image.get("uri") is not None:
            data = self.gltf.address(image["uri"])
        else:
            raise TextureError("empty")
        return decode_texture(data, self._max_side())

    def _max_side(self) -> int:
        """Smaller for many images, which must share one atlas."""
        count = max(1, len(self.gltf.entries("images")))
        return max(256, int(MAX_SIDE / max(1, 2 ** (np.ceil(np.log2(count) / 2) - 1))))

    def _lost(self, source: int, error: Exception) -> None:
        image = self.gltf.entry("images", source)
        uri = image.get("uri") or ""
        name = (uri if not uri.startswith("data:") else "") or image.get("name") or f"image {source}"
        if isinstance(error, TextureError):
            self.gltf.notes.add("unreadable texture", f"{name}: {error}")
        else:
            self.gltf.notes.add("missing texture", name)

    def _count_unused(self, material: dict[str, Any]) -> None:
        surface = {**material, **(material.get("pbrMetallicRoughness") or {})}
        for name in _UNUSED_MAPS:
            if surface.get(name) is not None:
                kind = "metal and roughness" if name.startswith("metallic") else name.removesuffix("Texture")
                self.gltf.notes.add(f"{kind} map")


def _coordinates(info: dict[str, Any]) -> Coordinates:
    channel = info.get("texCoord", 0)
    transform = (info.get("extensions") or {}).get(TRANSFORM)
    if transform is None:
        return Coordinates(channel)
    x, y = _floats(transform.get("offset"), (0.0, 0.0))
    u, v = _floats(transform.get("scale"), (1.0, 1.0))
    turn = float(transform.get("rotation", 0.0))  # counter-clockwise, as v points down
    cos, sin = np.cos(turn), np.sin(turn)
    return Coordinates(transform.get("texCoord", channel), np.array([[cos * u, sin * v, x], [-sin * u, cos * v, y]]))


def _floats(values: Any, default: tuple[float, ...]) -> tuple[float, ...]:
    if values is None:
        return default
    if len(values) != len(default):
        raise ValueError(f"a material has {len(values)} numbers where {len(default)} belong")
    return tuple(float(value) for value in values)
