"""Uncertainty as a color attribute, and the material that shows it."""

from collections.abc import Sequence

import bpy
import numpy as np

#: Name of the color attribute, and of the material.
UNCERTAINTY = "uncertainty"
MATERIAL = "mvdiff uncertainty"
#: sRGB from certain to guessed.
RAMP = ((0.13, 0.35, 0.62), (0.48, 0.72, 0.82), (0.97, 0.94, 0.78), (0.95, 0.57, 0.27), (0.66, 0.07, 0.13))
#: World units of uncertainty that deserve the ramp's end: 2 % of the object's diameter.
LEAST_SCALE = 0.02
_QUANTILE = 0.98
_IMPORTED = "_UNCERTAINTY"


def color_by_uncertainty(objects: Sequence[bpy.types.Object]) -> float:
    """Give meshes that have an uncertainty a color attribute and a second material, all on one scale.

    Returns:
        The uncertainty at the ramp's end, in world units.
    """
    values = {each: _values(each.data) for each in objects if _IMPORTED in each.data.attributes}
    if not values:
        return LEAST_SCALE
    scale = max(float(np.quantile(np.concatenate(list(values.values())), _QUANTILE)), LEAST_SCALE)
    for each, own in values.items():
        rgba = np.ones((len(own), 4), np.float32)
        rgba[:, :3] = _linear(ramp(own / scale))
        layer = each.data.color_attributes.new(UNCERTAINTY, "FLOAT_COLOR", "POINT")
        layer.data.foreach_set("color", rgba.ravel())
        each.data.color_attributes.active_color = layer
        each.data.materials.append(_material())
    return scale


def show(objects: Sequence[bpy.types.Object], uncertainty: bool) -> None:
    """Show each object's own look, or its uncertainty."""
    for each in objects:
        slot = each.data.materials.find(MATERIAL) if uncertainty else 0
        if slot >= 0:
            each.data.polygons.foreach_set("material_index", [slot] * len(each.data.polygons))
            each.data.update()


def ramp(values: np.ndarray) -> np.ndarray:
    """sRGB colors [..., 3] of values in [0, 1]."""
    place = np.clip(values, 0, 1) * (len(RAMP) - 1)
    return np.stack([np.interp(place, range(len(RAMP)), channel) for channel in zip(*RAMP, strict=True)], -1)


def _values(mesh: bpy.types.Mesh) -> np.ndarray:
    values = np.zeros(len(mesh.vertices), np.float32)
    mesh.attributes[_IMPORTED].data.foreach_get("value", values)
    return values


def _linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _material() -> bpy.types.Material:
    found = bpy.data.materials.get(MATERIAL)
    if found is not None:
        return found
    made = bpy.data.materials.new(MATERIAL)
    made.use_nodes = True
    tree = made.node_tree
    surface = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    surface.inputs["Roughness"].default_value = 0.9
    color = tree.nodes.new("ShaderNodeVertexColor")
    color.layer_name = UNCERTAINTY
    color.location = (surface.location.x - 250, surface.location.y)
    tree.links.new(color.outputs["Color"], surface.inputs["Base Color"])
    return made
