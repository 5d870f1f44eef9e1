"""Wavefront material libraries (.mtl): the diffuse color, its picture and that picture's options."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from recon.io.meshes.beside import FilesBeside
from recon.io.meshes.looks import Look, to_linear
from recon.io.meshes.notes import Notes
from recon.io.meshes.textures import Texture, TextureError, decode_texture
from recon.io.meshes.wrapping import REPEAT, Wrap

#: Options of a map and how many words follow them at most; the first number of a vector is required.
_OPTIONS = {
    **{"-blendu": 1, "-blendv": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-texres": 1, "-bm": 1},
    **{"-mm": 2, "-o": 3, "-s": 3, "-t": 3, "-type": 1, "-colorspace": 1},
}
_VECTORS = ("-o", "-s", "-t")
_UNUSED_MAPS = {
    **dict.fromkeys(("map_bump", "bump", "norm", "map_kn"), "normal map"),
    **dict.fromkeys(("map_ks", "map_ns", "map_pr", "map_pm", "map_ps", "refl"), "gloss map"),
    **dict.fromkeys(("disp", "map_disp"), "displacement map"),
}


@dataclass(frozen=True)
class Material:
    """A look, and the map from an OBJ's texture coordinates to those of its picture."""

    look: Look
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def coordinates(self, vt: Float[np.ndarray, "f 3 2"]) -> Float[np.ndarray, "f 3 2"]:
        """Coordinates with v from the upper edge; ``vt`` counts it from the lower one."""
        moved = vt * np.array(self.scale) + np.array(self.offset)
        return (moved * [1, -1] + [0, 1]).astype(np.float32)


def read_materials(text: str, beside: FilesBeside, notes: Notes) -> dict[str, Material]:
    """The materials of a library by name; pictures that are missing or unreadable are noted."""
    pictures: dict[str, Texture | None] = {}
    materials: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        key, _, rest = line.strip().partition(" ") if " " in line.strip() else line.strip().partition("\t")
        if key.lower() == "newmtl":
            current = materials.setdefault(rest.strip(), {})
        elif key:
            current[key.lower()] = rest.strip()
    return {name: _material(stated, beside, pictures, notes) for name, stated in materials.items()}


def _material(
    stated: dict[str, str], beside: FilesBeside, pictures: dict[str, Texture | None], notes: Notes
) -> Material:
    for key, kind in _UNUSED_MAPS.items():
        if key in stated:
            notes.add(kind, stated[key])
    look, options = Look((*_diffuse(stated.get("kd")), 1.0)), {}
    # Emission is the look of a material without diffuse color; an ambient map alone is an old habit of exporters.
    source = next((key for key in ("map_kd", "map_ke", "map_ka") if stated.get(key)), None)
    if source is not None:
        name, options = split_options(stated[source], beside)
        texture = _picture(name, beside, pictures, notes)
        if texture is not None:  # programs disagree on whether Kd multiplies it, and many write a gray that must not
            wrap: tuple[Wrap, Wrap] = ("clamp", "clamp") if options.get("-clamp") == ["on"] else REPEAT
            look = Look(texture=texture, wrap=wrap)
    if stated.get("map_d"):
        name, _ = split_options(stated["map_d"], beside)
        mask = _picture(name, beside, pictures, notes)
        look = look if mask is None else _masked(look, mask, notes)
    elif look.texture is not None and look.texture.alpha is not None:
        notes.add("transparency of a texture without map_d", stated[source or ""])
    return Material(look, _pair(options.get("-s"), 1.0), _pair(options.get("-o"), 0.0))


def split_options(text: str, beside: FilesBeside) -> tuple[str, dict[str, list[str]]]:
    """The picture's name, which may hold spaces, and the options before it."""
    words, options = text.split(), {}
    while len(words) > 1 and words[0].lower() in _OPTIONS and beside.find(" ".join(words)) is None:
        option = words.pop(0).lower()
        taken = [words.pop(0)] if len(words) > 1 else []
        while len(taken) < _OPTIONS[option] and len(words) > 1 and _is_number(words[0]):
            if option in _VECTORS and beside.find(" ".join(words)) is not None:
                break  # the rest is a name that begins with a number
            taken.append(words.pop(0))
        options[option] = taken
    return " ".join(words).strip('"'), options


def _picture(name: str, beside: FilesBeside, pictures: dict[str, Texture | None], notes: Notes) -> Texture | None:
    if name not in pictures:
        pictures[name] = None
        try:
            pictures[name] = decode_texture(beside.read(name))
        except TextureError as error:
            notes.add("unreadable texture", f"{name}: {error}")
        except OSError:
            notes.add("missing texture", name)
    return pictures[name]


def _masked(look: Look, mask: Texture, notes: Notes) -> Look:
    """The look cut by a picture's alpha, or by its brightness where it has none."""
    from recon.io.meshes.wrapping import resized

    opacity = mask.rgb[..., 1] if mask.alpha is None else mask.alpha
    if look.texture is None:
        rgb = np.full((*opacity.shape, 3), 255, np.uint8)
    else:
        rgb = look.texture.rgb
        opacity = resized(opacity[..., None].repeat(3, -1), rgb.shape[1], rgb.shape[0])[..., 0]
    return replace(look, texture=Texture(rgb, opacity), alpha="mask", cutoff=0.5)


def _diffuse(text: str | None) -> tuple[float, float, float]:
    """Kd as a linear factor: it is written as seen, in sRGB."""
    words = (text or "").split()
    values = [float(word) for word in words[:3] if _is_number(word)]
    if not values:
        return (1.0, 1.0, 1.0)
    values = values * 3 if len(values) == 1 else (values + values[-1:])[:3]
    red, green, blue = to_linear(np.clip(np.float32(values), 0, 1)).tolist()
    return red, green, blue


def _pair(words: list[str] | None, default: float) -> tuple[float, float]:
    values = [float(word) for word in words or [] if _is_number(word)]
    return (values[0] if values else default), (values[1] if len(values) > 1 else default)


def _is_number(word: Any) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False
