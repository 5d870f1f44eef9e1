"""Pictures of hypotheses and of what is known about them, as data URIs."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.io.meshes.glb import uncertainty_colors
from recon.ops.parallel import in_threads
from recon.posterior import Posterior, ViewStatistics
from recon.rendering import Surface, render_mesh

#: Azimuth and elevation in degrees of the pictures of an object.
SIDES = {"front": (0.0, 15.0), "right": (90.0, 15.0), "back": (180.0, 15.0), "left": (270.0, 15.0)}
_LIGHT = (0.35, 0.75, 0.55)
_AMBIENT = 0.45
#: World units of spread that deserve the ramp's end: 2 % of the object's diameter.
LEAST_SCALE = 0.02


def data_uri(picture: Image.Image | UInt8[np.ndarray, "h w c"]) -> str:
    """Lossy WebP with alpha where it pays, for pictures of objects."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=88, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def render_sides(mesh: TexturedMesh | Surface, size: int = 176) -> list[UInt8[np.ndarray, "h w 4"]]:
    """Lit pictures from :data:`SIDES` on a transparent ground."""
    azimuths, elevations = zip(*SIDES.values(), strict=True)
    return render_lit(mesh, Cameras.orbit(list(azimuths), list(elevations), size=size))


def render_lit(mesh: TexturedMesh | Surface, cameras: Cameras) -> list[UInt8[np.ndarray, "h w 4"]]:
    """Pictures by ``cameras`` [v] under a light that turns with them: every side is shown as well as the front."""
    views = render_mesh(mesh, cameras).to("cpu")
    up_right = torch.nn.functional.normalize(torch.tensor(_LIGHT), dim=0) * torch.tensor([1.0, -1.0, -1.0])
    light = torch.einsum("nvij,j->nvi", views.cameras.c2w[..., :3, :3], up_right)
    lambert = torch.einsum("nvchw,nvc->nvhw", views.normal, light).clamp(0, 1)[:, :, None]
    lit = (views.rgb * (_AMBIENT + (1.1 - _AMBIENT) * lambert)).clamp(0, 1)
    rgba = torch.cat([lit, views.alpha], 2)[0].permute(0, 2, 3, 1)
    return list((rgba * 255).round().byte().numpy())


def ramp(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Values in [0, 1] on the colors that the GLB files use too, from certain to guessed."""
    return uncertainty_colors()[np.clip(np.rint(values * 255), 0, 255).astype(int)]


def scale_of(values: torch.Tensor) -> float:
    """Upper end of the ramp: the 98th percentile, so that a few outliers do not bleach the rest, but never so little
    that hypotheses that agree look as if they did not."""
    return max(float(np.quantile(values.numpy(), 0.98)), LEAST_SCALE)


def paint(mesh: TexturedMesh, name: str = "uncertainty") -> TexturedMesh:
    """``mesh`` in the ramp's colors of one of its attributes."""
    values = mesh.attributes[name]
    colors = ramp(values.numpy() / scale_of(values)).astype(np.float32) / 255
    return TexturedMesh(mesh.vertices, mesh.faces, colors=torch.as_tensor(colors))


def sections(posterior: Posterior) -> list[tuple[str, str, str]]:
    """(name, probability, entropy) of the slices through the cube that hold most entropy, seen from their axis."""
    views = [("seen from the front", 2), ("seen from the right", 0), ("seen from above", 1)]
    found = []
    for name, axis in views:
        others = tuple(a for a in range(3) if a != axis)
        content = posterior.entropy.sum(others)
        if float(content.max()) == 0:
            content = posterior.probability.sum(others)
        index = int(content.argmax())
        slices = [
            _upright(field.select(axis, index).numpy(), axis) for field in (posterior.probability, posterior.entropy)
        ]
        found.append((name, *(data_uri(_enlarged(_ink(values))) for values in slices)))
    return found


def atlas(field: torch.Tensor) -> str:
    """A volume [x y z] of values in [0, 1] as one gray picture: tiles of constant z in row order, x right, y down."""
    values = (field.clamp(0, 1) * 255).round().byte().numpy()
    size = len(values)
    across = math.ceil(math.sqrt(size))
    sheet = np.zeros((-(-size // across) * size, across * size), np.uint8)
    for z in range(size):
        row, column = divmod(z, across)
        sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] = values[:, :, z].T
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _upright(values: Float[np.ndarray, "a b"], axis: int) -> Float[np.ndarray, "h w"]:
    """A slice as a picture: rows go down, columns to the viewer's right."""
    if axis == 2:  # [x y] from +Z: right is +x, up is +y
        return values.T[::-1]
    if axis == 0:  # [y z] from +X: right is -z, up is +y
        return values[::-1, ::-1]
    return values.T  # [x z] from +Y: right is +x, down is +z


def _ink(values: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 4"]:
    """The ramp, clear where the value is 0."""
    alpha = np.clip(values * 8, 0, 1)
    return np.concatenate([ramp(values), np.rint(alpha * 255).astype(np.uint8)[..., None]], -1)


def _enlarged(picture: UInt8[np.ndarray, "h w 4"], factor: int = 3) -> UInt8[np.ndarray, "hh ww 4"]:
    return picture.repeat(factor, 0).repeat(factor, 1)


def view_maps(statistics: ViewStatistics) -> list[tuple[str, str, str]]:
    """(mean, silhouette spread, color spread) of every view that all hypotheses share."""

    def picture(values: torch.Tensor) -> str:
        return data_uri(_ink(values[0].clamp(0, 1).numpy()))

    def maps(view: int) -> tuple[str, str, str]:
        mean = (statistics.rgb_mean[view].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
        # 0.5 is the largest standard deviation that values in [0, 1] can have.
        color = statistics.rgb_std[view].square().mean(0, keepdim=True).sqrt()
        return data_uri(mean), picture(statistics.alpha_std[view] * 2), picture(color * 2)

    return in_threads(maps, range(len(statistics.rgb_mean)))


def strip(pictures: Sequence[UInt8[np.ndarray, "h w 4"]]) -> str:
    """Pictures side by side as one data URI."""
    return data_uri(np.concatenate(list(pictures), axis=1))
