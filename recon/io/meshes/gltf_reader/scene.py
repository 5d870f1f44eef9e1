"""The glTF scene graph, flattened: the meshes that are shown, each with its places in the world."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from recon.io.meshes.gltf_reader.accessors import Accessors
from recon.io.meshes.gltf_reader.container import INSTANCING, Gltf


@dataclass(frozen=True)
class Placed:
    """A mesh with the same morph weights and skin at m places."""

    mesh: int
    matrices: Float[np.ndarray, "m 4 4"]
    weights: tuple[float, ...] = ()
    skin: int | None = None


def placed_meshes(gltf: Gltf, accessors: Accessors) -> tuple[list[Placed], Float[np.ndarray, "n 4 4"]]:
    """The meshes of the default scene in rest pose, and the world matrices of all nodes.

    Raises:
        ValueError: The nodes are no forest.
    """
    nodes = gltf.entries("nodes")
    world, shown = _world_matrices(gltf, nodes)
    groups: dict[tuple, list[int]] = {}
    for index in np.flatnonzero(shown).tolist():
        node = nodes[index]
        if node.get("mesh") is not None:
            weights = tuple(node.get("weights") or ())
            spread = INSTANCING in (node.get("extensions") or ())
            groups.setdefault((node["mesh"], weights, node.get("skin"), index if spread else None), []).append(index)
    placed = []
    for (mesh, weights, skin, spread), indices in groups.items():
        matrices = world[indices] if spread is None else _instances(nodes[spread], world[spread], accessors)
        weights = weights or tuple(gltf.entry("meshes", mesh).get("weights") or ())
        placed.append(Placed(mesh, matrices, weights, skin))
    return placed, world


def skin_matrices(
    gltf: Gltf, accessors: Accessors, skin: int, world: Float[np.ndarray, "n 4 4"]
) -> Float[np.ndarray, "j 4 4"]:
    """Matrices from the mesh to the world for each joint, in rest pose (glTF 2.0, section 3.7.3)."""
    stated = gltf.entry("skins", skin)
    joints = world[_checked(stated["joints"], len(world))]
    if "inverseBindMatrices" not in stated:
        return joints
    inverse = accessors.floats(stated["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    if len(inverse) < len(joints):
        raise ValueError(f"skin {skin} has {len(inverse)} matrices for {len(joints)} joints")
    return joints @ inverse[: len(joints)]


def _world_matrices(gltf: Gltf, nodes: list[dict[str, Any]]) -> tuple[Float[np.ndarray, "n 4 4"], np.ndarray]:
    """Breadth first, a whole level at once; nodes outside the scene keep a matrix but are not shown."""
    world, reached = _local_matrices(nodes), np.zeros(len(nodes), bool)
    shown = np.zeros(len(nodes), bool)
    roots = _roots(gltf, nodes)
    others = np.setdiff1d(_parentless(nodes), roots)  # joints may lie outside the scene
    for starts, visible in ((roots, True), (others, False)):
        parents, level = None, starts
        while len(level):
            if reached[level].any() or (len(level) > 1 and len(np.unique(level)) < len(level)):
                raise ValueError("a node has two parents or is its own ancestor")
            reached[level] = True
            if parents is not None:
                world[level] = world[parents] @ world[level]
            lit = np.array([_is_visible(nodes[i]) for i in level.tolist()]) & visible
            shown[level] = lit if parents is None else lit & shown[parents]
            pairs = [(i, child) for i in level.tolist() for child in nodes[i].get("children") or ()]
            parents, level = (np.array([p[k] for p in pairs], np.int64) for k in (0, 1))
            _checked(level, len(nodes))
    return world, shown


def _roots(gltf: Gltf, nodes: list[dict[str, Any]]) -> Int[np.ndarray, "r"]:
    scenes = gltf.entries("scenes")
    if not scenes:
        return _parentless(nodes)
    return _checked(gltf.entry("scenes", gltf.content.get("scene", 0)).get("nodes") or [], len(nodes))


def _parentless(nodes: list[dict[str, Any]]) -> Int[np.ndarray, "r"]:
    children = [child for node in nodes for child in node.get("children") or ()]
    return np.setdiff1d(np.arange(len(nodes)), _checked(children, len(nodes)))


def _checked(indices: Any, count: int) -> Int[np.ndarray, "i"]:
    indices = np.asarray(indices, np.int64).reshape(-1)
    if len(indices) and not 0 <= indices.min() <= indices.max() < count:
        raise ValueError("the scene names missing nodes")
    return indices


def _is_visible(node: dict[str, Any]) -> bool:
    return (node.get("extensions") or {}).get("KHR_node_visibility", {}).get("visible", True)


def _local_matrices(nodes: list[dict[str, Any]]) -> Float[np.ndarray, "n 4 4"]:
    def rows(key: str, default: tuple[float, ...]) -> np.ndarray:
        return np.array([node.get(key) or default for node in nodes], float).reshape(len(nodes), len(default))

    matrices = compose(rows("translation", (0, 0, 0)), rows("rotation", (0, 0, 0, 1)), rows("scale", (1, 1, 1)))
    stated = [i for i, node in enumerate(nodes) if node.get("matrix")]
    if stated:
        matrices[stated] = np.array([nodes[i]["matrix"] for i in stated], float).reshape(-1, 4, 4).transpose(0, 2, 1)
    return matrices


def compose(
    translation: Float[np.ndarray, "n 3"], rotation: Float[np.ndarray, "n 4"], scale: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 4 4"]:
    """Matrices T R S; rotations are quaternions x, y, z, w."""
    x, y, z, w = (rotation / np.linalg.norm(rotation, axis=1, keepdims=True).clip(1e-12)).T
    turn = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    matrices = np.tile(np.eye(4), (len(translation), 1, 1))
    matrices[:, :3, :3] = np.stack(turn, -1).reshape(-1, 3, 3) * scale[:, None]
    matrices[:, :3, 3] = translation
    return matrices


def _instances(node: dict[str, Any], matrix: np.ndarray, accessors: Accessors) -> Float[np.ndarray, "m 4 4"]:
    """The places of EXT_mesh_gpu_instancing."""
    attributes = node["extensions"][INSTANCING].get("attributes") or {}
    given = {name: accessors.floats(attributes[name]).astype(float) for name in _NEUTRAL if name in attributes}
    count = max(map(len, given.values()), default=1)
    parts = [given.get(name, np.tile(neutral, (count, 1))) for name, neutral in _NEUTRAL.items()]
    return matrix @ compose(*parts)


_NEUTRAL = {
    "TRANSLATION": (0.0, 0.0, 0.0),
    "ROTATION": (0.0, 0.0, 0.0, 1.0),
    "SCALE": (1.0, 1.0, 1.0),
}
