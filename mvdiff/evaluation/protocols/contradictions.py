"""Views that contradict each other the way sampled views do: a stand-in for a model's, with the truth known."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.rendering import render_mesh


@dataclass(frozen=True)
class Contradictions:
    """Sizes of the artificial errors; the defaults resemble the embedded model's."""

    depth: float = 0.02
    """Standard deviation of each view's smooth depth error, in world units."""
    pixels: float = 1.5
    """Standard deviation of the smooth shift of each view's pixels, silhouettes included, at 128 pixels a side."""
    normal: float = 0.15
    """Standard deviation of each component of the smooth error of unit normals."""
    turned: float = 20.0
    """Rotation in degrees of the object in one view, which is thereby wrong as a whole."""
    knots: int = 4
    """Knots of the smooth errors along each side of an image."""

    def applied(self, mesh: TexturedMesh, views: ViewSet, seed: int) -> ViewSet:
        """``views`` [1 v] of ``mesh`` with errors drawn from ``seed``."""
        generator = torch.Generator().manual_seed(seed)
        v = views.num_views
        wrong = int(torch.randint(v, (1,), generator=generator))
        angle = torch.deg2rad(torch.tensor(self.turned))
        turn = torch.eye(4)
        turn[0, 0] = turn[2, 2] = angle.cos()
        turn[0, 2], turn[2, 0] = angle.sin(), -angle.sin()
        other = render_mesh(mesh.transformed(turn), views.cameras[0, wrong : wrong + 1])

        def mixed(own: Tensor, others: Tensor) -> Tensor:
            own = own[0].clone()
            own[wrong] = others[0, 0]
            return own

        h, w = views.rgb.shape[-2:]
        shift = self._smooth(generator, v, 2, h, w) * self.pixels * (w / 128)
        alpha, depth = mixed(views.alpha, other.alpha), mixed(views.depth, other.depth)
        normal, rgb = mixed(views.normal, other.normal), mixed(views.rgb, other.rgb)
        moved = _shifted(torch.cat([rgb * alpha, normal * alpha, depth * alpha, alpha], 1), shift)
        alpha = moved[:, 7:]
        rgb, normal, depth = (moved[:, :7] / alpha.clamp_min(1e-4)).split([3, 3, 1], 1)
        depth = depth + self._smooth(generator, v, 1, h, w) * self.depth
        normal = normal + self._smooth(generator, v, 3, h, w) * self.normal
        shown = (alpha > 1e-3).float()
        return replace(
            views,
            rgb=(rgb * shown)[None],
            alpha=alpha.clamp(0, 1)[None],
            normal=(torch.nn.functional.normalize(normal, dim=1) * shown)[None],
            depth=(depth * shown)[None],
        )

    def _smooth(self, generator: torch.Generator, v: int, c: int, h: int, w: int) -> Float[Tensor, "v c h w"]:
        noise = torch.randn(v, c, self.knots, self.knots, generator=generator)
        return torch.nn.functional.interpolate(noise, (h, w), mode="bicubic", align_corners=True)


def _shifted(pictures: Float[Tensor, "v c h w"], shift: Float[Tensor, "v 2 h w"]) -> Float[Tensor, "v c h w"]:
    """Every pixel taken from ``shift`` (x, y in pixels) beside it."""
    h, w = pictures.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    where = (torch.stack([x, y]) + shift) / torch.tensor([w, h])[:, None, None] * 2 - 1
    return torch.nn.functional.grid_sample(pictures, where.movedim(1, -1), padding_mode="zeros", align_corners=False)
