"""Nouns of the explorer: what it shows of one hypothesis, and what stops a walker there."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.splats import Splats
from recon.scenes.field import SceneField
from recon.scenes.grid import SceneGrid
from recon.scenes.scene import Scene


@dataclass(frozen=True)
class Collider:
    """Voxels that stop a walker, and voxels of which nothing is known."""

    grid: SceneGrid
    occupied: Bool[Tensor, "x y z"]
    unknown: Bool[Tensor, "x y z"] | None = None
    """Drawn as fog."""

    def __post_init__(self) -> None:
        for name in ("occupied", "unknown"):
            cells = getattr(self, name)
            if cells is not None and tuple(cells.shape) != tuple(self.grid.shape):
                raise InputError(f"The {name} cells {tuple(cells.shape)} do not fit the grid's {self.grid.shape}.")

    @staticmethod
    def of(field: SceneField, index: int = 0) -> "Collider":
        """The voxels of hypothesis ``index`` of a field."""
        return Collider(field.grid, field.occupied[index], field.unknown[index])


@dataclass(frozen=True)
class SceneView:
    """One hypothesis in world units: photo camera at the origin, +Y up, the photo along -Z."""

    mesh: TexturedMesh
    """With a texture or vertex colors. The attribute ``provenance`` [k] is 0 where the photo shows the surface, 1 where
    it implies it, 2 where it is guessed; ``uncertainty`` [k] is 0 where the surface is certain."""
    collider: Collider
    splats: Splats | None = None
    splat_provenance: UInt8[Tensor, "p"] | None = None
    """As the mesh's; taken from its nearest vertex by default."""
    splat_uncertainty: Float[Tensor, "p"] | None = None
    sky: Float[Tensor, "3 h w"] | None = None
    """Equirectangular sRGB; the middle column looks along -Z."""
    sky_seen: Float[Tensor, "1 h w"] | None = None
    """1 where a view shows sky; elsewhere fog hides it. All of it is shown by default."""
    weight: float | None = None
    """Share of this hypothesis in all, in 0 to 1."""
    name: str | None = None

    def __post_init__(self) -> None:
        if len(self.mesh) == 0:
            raise InputError("A scene without surfaces cannot be explored: nothing was observed in its views.")

    @staticmethod
    def of(scene: Scene, uncertainty: Float[Tensor, "k"] | None = None, weight: float | None = None) -> "SceneView":
        """View of a built scene.

        Args:
            scene: The scene.
            uncertainty: Value per vertex of the scene's mesh; by default 1 minus the agreement of the views.
            weight: Share of the hypothesis.
        """
        attributes = dict(scene.mesh.attributes)
        if uncertainty is None and "agreement" in attributes:
            uncertainty = 1 - attributes["agreement"].float()
        if uncertainty is not None:
            attributes["uncertainty"] = uncertainty
        mesh = TexturedMesh(
            scene.mesh.vertices, scene.mesh.faces, scene.mesh.colors, scene.mesh.uv, scene.mesh.texture, attributes
        )
        sky = {} if scene.sky is None else {"sky": scene.sky.panorama, "sky_seen": scene.sky.seen}
        return SceneView(mesh, Collider.of(scene.field), scene.splats, weight=weight, **sky)

    def per_vertex(self, name: str) -> Float[Tensor, "k"]:
        """An attribute of the mesh as one number per vertex; 0 where it has none."""
        values = self.mesh.attributes.get(name)
        if values is None:
            return torch.zeros(len(self.mesh.vertices))
        return values.detach().float().cpu().reshape(len(self.mesh.vertices))

    def per_splat(self, name: str) -> Float[Tensor, "p"]:
        """``provenance`` or ``uncertainty`` of each splat: its own, or that of the nearest vertex."""
        own = getattr(self, f"splat_{name}")
        if own is not None:
            return own.detach().float().cpu()
        values = self.per_vertex(name)
        if name not in self.mesh.attributes:
            return torch.zeros(len(self.splats))
        from scipy.spatial import cKDTree

        tree = cKDTree(self.mesh.vertices.detach().cpu().numpy())
        return values[torch.from_numpy(tree.query(self.splats.position.detach().cpu().numpy())[1])]
