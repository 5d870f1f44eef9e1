"""Scene: everything that one hypothesis of a place consists of, made from its views."""

from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.splats import Splats
from recon.core.views import ViewSet
from recon.scenes.field import SceneField
from recon.scenes.fuse import SceneFuseConfig, fuse_scene
from recon.scenes.grid import SceneGrid
from recon.scenes.levels import add_far_level, far_grid
from recon.scenes.mesh import SceneMeshConfig, collider, scene_mesh
from recon.scenes.navigation import Body, NavMesh, walkable
from recon.scenes.sky import Sky, sky_of
from recon.scenes.splats import SplatConfig, scene_splats
from recon.scenes.texture import SceneTextureConfig, paint_scene
from recon.scenes.view_agreement import view_agreement


@dataclass(frozen=True)
class SceneConfig:
    """Settings for building a scene from its views."""

    cells: int = 4_000_000
    """Cells of the grid, and of the far level where there is one."""
    near_reach: float = 6.0
    """Distance from the photo, in world units, up to which the near grid reaches."""
    far_reach: float = 24.0
    """Distance from the photo up to which a coarser second grid reaches; what is farther belongs to the sky dome."""
    sky_height: int = 512
    """Rows of the sky's panorama."""
    fuse: SceneFuseConfig = field(default_factory=SceneFuseConfig)
    mesh: SceneMeshConfig = field(default_factory=SceneMeshConfig)
    texture: SceneTextureConfig = field(default_factory=SceneTextureConfig)
    splats: SplatConfig = field(default_factory=SplatConfig)


@dataclass(frozen=True)
class Scene:
    """One hypothesis in scene units: photo at the origin, +Y up, heading -Z."""

    views: ViewSet
    """[1 v]; the photo's view is the first."""
    field: SceneField
    mesh: TexturedMesh
    """Textured, with the attributes ``provenance`` and ``agreement``."""
    collider: TexturedMesh
    splats: Splats
    floor: NavMesh
    sky: Sky | None
    metres: float = 1.0
    """Length of a unit; a factor at export only."""


def scene_grid(views: ViewSet, config: SceneConfig | None = None) -> SceneGrid:
    """The near grid around the surfaces of all hypotheses, which then share it."""
    config = config or SceneConfig()
    return SceneGrid.fit(surface_points(views), config.cells, config.near_reach)


def surface_points(views: ViewSet) -> Float[Tensor, "p 3"]:
    """World points of all pixels of all hypotheses that show a surface."""
    shown = (views.alpha[:, :, 0] > 0.5) & (views.depth[:, :, 0] > 0)
    return views.cameras.unproject(views.depth[:, :, 0])[shown]


def build_scene(
    views: ViewSet,
    photo: Float[Tensor, "3 h w"] | None = None,
    metres: float = 1.0,
    config: SceneConfig | None = None,
    grid: SceneGrid | None = None,
) -> Scene:
    """Fuse one hypothesis' views into a scene with everything that is exported.

    Args:
        views: Views [1 v] with depth and normals, the photo's first, in scene units.
        photo: The photo at full resolution, for the texture.
        meters: Length of a scene unit, for the size of the body that walks.
        config: Settings.
        grid: Grid that hypotheses share; fitted to these views by default.

    Returns:
        The scene.
    """
    views.cameras.require_pinholes("A scene")
    config = config or SceneConfig()
    grid = grid or scene_grid(views, config)
    near = fuse_scene(views, grid, config.fuse)
    surface = scene_mesh(near, config.mesh)
    far = far_grid(surface_points(views), grid, config.cells, config.far_reach)
    if far is not None:
        surface = add_far_level(surface, grid, fuse_scene(views, far, config.fuse), config.mesh)
    mesh = paint_scene(surface, views, photo, config.texture)
    # Splats lie as densely as the cells do: neither is worth more than the other shows.
    splats = scene_splats(views, replace(config.splats, cell=2 * grid.cell), view_agreement(views))
    return Scene(
        views,
        near,
        mesh,
        collider(surface, config.mesh),
        splats,
        walkable(near, Body.person(metres)),
        sky_of(views, config.sky_height),
        metres,
    )
