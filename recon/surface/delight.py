"""The photo's own pixels without its light: shading is fitted as a function of the normal and divided out."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from recon.core.conventions import linear_to_srgb, srgb_to_linear
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.rendering.mesh_renderer import render_mesh
from recon.surface.baking import blur_maps

#: Rec. 709: light is taken as white, so that the photo keeps its own hues.
_LUMINANCE = (0.2126, 0.7152, 0.0722)
_ITERATIONS = 8
#: Errors of the logarithm beyond this count less: highlights, cast shadows, a wrong albedo. Not much smaller, or a
#: pattern's dark half counts as the error of its bright one.
_ROBUST = 0.5
#: Darker pixels say nothing about the light.
_DARK = 0.01
#: How far shading may be from one.
_RANGE = (0.15, 4.0)
#: Pixels across that the fit works on.
_SIDE = 128
#: Ridge that keeps normals that the photo does not show from running away.
_RIDGE = 1e-3


def delit(photo: ViewSet, mesh: TexturedMesh) -> ViewSet:
    """``photo`` [1 1] as albedo, given a ``mesh`` that wears the albedo that the model believes in.

    Diffuse light of any surroundings is a polynomial of second order in the normal, to within a hundredth (Ramamoorthi
    and Hanrahan 2001). Its nine numbers are fitted to the ratio of the photo's luminance to the believed one, robustly;
    everything that they do not explain, the photo's detail above all, stays the photo's.
    """
    camera = photo.cameras[0].to(mesh.device)
    side = min(_SIDE, camera.height)
    small = camera.resized(max(1, round(side * camera.width / camera.height)), side)
    believed = render_mesh(mesh, small)
    picture = torch.nn.functional.interpolate(photo.rgb[0] * photo.alpha[0], (small.height, small.width), mode="area")
    alpha = torch.nn.functional.interpolate(photo.alpha[0], (small.height, small.width), mode="area")
    sure = ((alpha > 0.95) & (believed.alpha[0] > 0.95)).float()
    # A little blur: the two need not agree to the pixel.
    luminance = [
        blur_maps(_luminance(rgb) * sure, 1.5) / blur_maps(sure, 1.5).clamp_min(1e-3)
        for rgb in (picture / alpha.clamp_min(1e-3), believed.rgb[0])
    ]
    usable = (sure > 0) & (luminance[0] > _DARK) & (luminance[1] > _DARK)
    if int(usable.sum()) < 50:
        return photo
    basis = _polynomials(believed.normal[0])[0][:, usable[0, 0]].T
    ratio = (luminance[0] / luminance[1].clamp_min(_DARK))[usable]
    # Nine numbers from some thousand pixels, in many small steps: nothing for a GPU.
    coefficients = _fitted(basis.cpu(), ratio.clamp(*_RANGE).cpu(), luminance[1][usable].cpu()).to(mesh.device)

    full = render_mesh(replace(mesh, uv=None, texture=None), camera, supersample=1)  # of which the normals alone count
    light = torch.einsum("c,vchw->vhw", coefficients, _polynomials(full.normal[0]))[:, None].clamp(*_RANGE)
    # Normals step from face to face and end at the mesh's outline; light does neither.
    weight, width = full.alpha[0], 0.01 * camera.height
    light = (blur_maps(light * weight, width) + 1e-3 * ratio.median()) / (blur_maps(weight, width) + 1e-3)
    albedo = linear_to_srgb((srgb_to_linear(photo.rgb[0].to(light)) / light).clamp(0, 1))
    return replace(photo, rgb=albedo.clamp(0, 1)[None])


def _fitted(
    basis: Float[Tensor, "p c"], ratio: Float[Tensor, "p"], brightness: Float[Tensor, "p"]
) -> Float[Tensor, "c"]:
    """Least squares with weights that fall with the error (iteratively reweighted, with Cauchy's weights)."""
    weight = brightness
    for _ in range(_ITERATIONS):
        weighted = basis * weight[:, None]
        system = basis.T @ weighted + _RIDGE * weight.sum() * torch.eye(basis.shape[1]).to(basis)
        coefficients = torch.linalg.solve(system, weighted.T @ ratio)
        error = torch.log(ratio / (basis @ coefficients).clamp(*_RANGE))
        weight = brightness / (1 + (error / _ROBUST) ** 2)
    return coefficients


def _polynomials(normal: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v 9 h w"]:
    """The polynomials up to second order on the sphere, those of higher order without mean."""
    x, y, z = normal.unbind(1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], 1)


def _luminance(rgb: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v 1 h w"]:
    return (srgb_to_linear(rgb.clamp(0, 1)) * torch.tensor(_LUMINANCE).to(rgb)[:, None, None]).sum(1, keepdim=True)
