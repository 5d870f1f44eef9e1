"""Texture of a scene: the photo's own pixels where it sees, the best view's elsewhere, matched in color."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.scenes.gains import color_gains
from recon.scenes.mesh import split_long_edges
from recon.scenes.visible import Sight, provenance, read_views


@dataclass(frozen=True)
class SceneTextureConfig:
    """Settings of a scene's texture."""

    photo_size: int = 1024
    """Largest side in pixels of the photo in the atlas."""
    view_scale: int = 1
    """Texels along each side of a view's pixel."""
    longest_edge: float = 0.12
    """Longest edge as a share of its distance from the nearest view, so that straight texture stays straight."""
    photo_bias: float = 4.0
    """Factor on the photo's resolution when a face chooses its view."""


#: Texels around each image in the atlas, repeated from its border, so that filtering shows no neighbor.
_MARGIN = 2


def paint_scene(
    mesh: TexturedMesh,
    views: ViewSet,
    photo: Float[Tensor, "3 hp wp"] | None = None,
    config: SceneTextureConfig | None = None,
    photo_view: int = 0,
) -> TexturedMesh:
    """Project views onto a scene's mesh (Waechter et al. 2014, each face from one view).

    Args:
        mesh: Triangles of the scene.
        views: Views [1 v] from which it was fused.
        photo: The photo at full resolution, whose lens is that of the view ``photo_view``.
        config: Atlas and view choice.
        photo_view: Index of the photo's view.

    Returns:
        The mesh with texture coordinates, an atlas, vertex colors, and the attributes ``provenance`` (0: seen by the
        photo, 1: implied, in its frustum but hidden, 2: guessed, outside it) and ``agreement`` (share of the views that
        see a vertex and confirm its depth).
    """
    config = config or SceneTextureConfig()
    if not len(mesh):
        raise InputError("There is no surface to paint: the views show nothing but sky.")
    mesh = _fine_enough(mesh, views, config.longest_edge)
    sight, cameras = Sight.of(mesh, views), views.cameras[0]
    gains = color_gains(views.rgb[0], sight, cameras, fixed=photo_view)
    images = (views.rgb[0] * gains[:, :, None, None]).clamp(0, 1)
    colors, known = _vertex_colors(read_views(images, sight, cameras), sight, photo_view)
    colors = _spread(mesh, colors, known)
    tiles = list(_enlarged(images, config.view_scale))
    if photo is not None:
        tiles[photo_view] = _limited(photo.to(images), config.photo_size)
    best = _best_view(mesh, sight, views, config, photo_view)
    atlas = _Atlas.of(tiles, int((best < 0).sum()))
    uv = atlas.coordinates(mesh, sight, best, (cameras.width, cameras.height))
    texture = atlas.painted(tiles, colors[mesh.faces[best < 0]].mean(1))
    depth = views.depth[0, photo_view, 0]
    attributes = {
        "provenance": provenance(mesh, sight.seen[photo_view], cameras[photo_view : photo_view + 1], depth).float(),
        "agreement": sight.agreement,
    }
    return TexturedMesh(mesh.vertices, mesh.faces, colors, uv, texture, attributes)


def _fine_enough(mesh: TexturedMesh, views: ViewSet, share: float) -> TexturedMesh:
    """Faces small enough that linear texture coordinates follow the views' perspective."""
    distance = torch.cdist(mesh.vertices, views.cameras[0].position).amin(1)
    return split_long_edges(TexturedMesh(mesh.vertices, mesh.faces), share * distance.clamp_min(1e-3))[0]


def _best_view(
    mesh: TexturedMesh, sight: Sight, views: ViewSet, config: SceneTextureConfig, photo_view: int
) -> Int[Tensor, "f"]:
    """For each face the view that sees all its corners at the highest resolution, -1 where there is none."""
    focal = views.cameras[0].intrinsics.diagonal(dim1=-2, dim2=-1)[:, :2].mean(-1)
    best = torch.full((len(mesh),), -1, dtype=torch.long, device=mesh.device)
    score = torch.zeros(len(mesh), device=mesh.device)
    for number in range(len(sight.seen)):
        corners = sight.seen[number][mesh.faces].all(1)
        confirmed = 0.25 + 0.75 * sight.agrees[number][mesh.faces].float().mean(1)
        resolution = (focal[number] * sight.cosine[number] / sight.depth[number].clamp_min(1e-6))[mesh.faces].amin(1)
        own = corners * confirmed * resolution * (config.photo_bias if number == photo_view else 1.0)
        better = own > score
        best[better], score[better] = number, own[better]
    return best


def _vertex_colors(
    read: Float[Tensor, "v 3 k"], sight: Sight, photo_view: int
) -> tuple[Float[Tensor, "k 3"], Bool[Tensor, "k"]]:
    """Mean over the views that see a vertex, by sharpness; the photo's alone where it sees it."""
    weight = sight.seen * sight.cosine.clamp_min(0) / sight.depth.clamp_min(1e-6) * (0.05 + 0.95 * sight.agrees)
    weight[photo_view] *= 100.0
    total = weight.sum(0)
    return ((read * weight[:, None]).sum(0) / total.clamp_min(1e-12)).T, total > 0


def _spread(mesh: TexturedMesh, colors: Float[Tensor, "k 3"], known: Bool[Tensor, "k"]) -> Float[Tensor, "k 3"]:
    """Colors of the nearest known vertices where no view sees."""
    from scipy.spatial import cKDTree

    if bool(known.all()) or not bool(known.any()):
        return colors
    tree = cKDTree(mesh.vertices[known].cpu().numpy())
    distance, nearest = tree.query(mesh.vertices[~known].cpu().numpy(), k=min(4, int(known.sum())))
    nearest = torch.as_tensor(nearest, device=colors.device).reshape(len(distance), -1)
    weight = 1 / (torch.as_tensor(distance, device=colors.device).reshape(nearest.shape).float() + 1e-6)
    colors = colors.clone()
    colors[~known] = (colors[known][nearest] * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
    return colors


def _limited(photo: Float[Tensor, "3 h w"], side: int) -> Float[Tensor, "3 a b"]:
    factor = side / max(photo.shape[1:])
    if factor >= 1:
        return photo
    size = [max(1, round(length * factor)) for length in photo.shape[1:]]
    return torch.nn.functional.interpolate(photo[None], size, mode="area")[0]


def _enlarged(images: Float[Tensor, "v 3 h w"], factor: int) -> Float[Tensor, "v 3 a b"]:
    if factor == 1:
        return images
    fine = torch.nn.functional.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False)
    return fine.clamp(0, 1)


@dataclass(frozen=True)
class _Atlas:
    """Images side by side in shelves, and below them a texel block for each face that no view sees."""

    corners: tuple[tuple[int, int], ...]
    """Row and column of each image's first pixel."""
    sizes: tuple[tuple[int, int], ...]
    plain: int
    """First row of the plain faces' blocks, 2 texels a side."""
    shape: tuple[int, int]

    @staticmethod
    def of(tiles: list[Tensor], plain_faces: int) -> "_Atlas":
        sizes = [tuple(tile.shape[1:]) for tile in tiles]
        area = sum((h + 2 * _MARGIN) * (w + 2 * _MARGIN) for h, w in sizes)
        width = max(max(w for _, w in sizes) + 2 * _MARGIN, 64 * round((1.1 * area) ** 0.5 / 64))
        corners: list[tuple[int, int]] = [(0, 0)] * len(sizes)
        row = column = shelf = 0
        for index in sorted(range(len(sizes)), key=lambda i: -sizes[i][0]):
            h, w = (side + 2 * _MARGIN for side in sizes[index])
            if column + w > width:
                row, column, shelf = row + shelf, 0, 0
            corners[index] = (row + _MARGIN, column + _MARGIN)
            column, shelf = column + w, max(shelf, h)
        plain = row + shelf
        rows = -(-plain_faces // (width // 2)) * 2
        return _Atlas(tuple(corners), tuple(sizes), plain, (plain + rows, width))

    def coordinates(
        self, mesh: TexturedMesh, sight: Sight, best: Int[Tensor, "f"], view_size: tuple[int, int]
    ) -> Float[Tensor, "f 3 2"]:
        """glTF texture coordinates of all face corners."""
        height, width = self.shape
        view = best.clamp_min(0)
        pixels = sight.pixels[view[:, None], mesh.faces]
        size = torch.tensor([[w, h] for h, w in self.sizes], device=pixels.device)
        start = torch.tensor([[c, r] for r, c in self.corners], device=pixels.device)
        places = pixels / pixels.new_tensor(view_size) * size[view][:, None] + start[view][:, None]
        plain = best < 0
        number = torch.arange(int(plain.sum()), device=pixels.device)
        across = width // 2
        block = torch.stack([number % across * 2 + 1.0, number // across * 2 + self.plain + 1.0], -1)
        places[plain] = block[:, None].to(places)
        return places / places.new_tensor([width, height])

    def painted(self, tiles: list[Tensor], plain: Float[Tensor, "q 3"]) -> Float[Tensor, "3 h w"]:
        height, width = self.shape
        texture = tiles[0].new_full((3, height, width), 0.5)
        for tile, (row, column) in zip(tiles, self.corners, strict=True):
            framed = torch.nn.functional.pad(tile[None], (_MARGIN,) * 4, mode="replicate")[0]
            top, left = row - _MARGIN, column - _MARGIN
            texture[:, top : top + framed.shape[1], left : left + framed.shape[2]] = framed
        if len(plain):
            across = width // 2
            rows = (height - self.plain) // 2
            grid = plain.new_full((rows * across, 3), 0.5)
            grid[: len(plain)] = plain
            blocks = grid.reshape(rows, across, 3).permute(2, 0, 1)
            blocks = blocks.repeat_interleave(2, 1).repeat_interleave(2, 2)
            texture[:, self.plain :, : 2 * across] = blocks
        return texture


def without_texture(mesh: TexturedMesh) -> TexturedMesh:
    """The mesh with its vertex colors only."""
    return replace(mesh, uv=None, texture=None)
