"""Conversions between ComfyUI's IMAGE, MASK, MESH and TRIMESH sockets and our own nouns."""

import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mvdiff.integrations.comfyui.sockets import Mesh
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.report.pictures import render_sides

MaskShows = Literal["object", "background"]


def photo_of(
    image: Float[Tensor, "b h w c"], mask: Float[Tensor, "m mh mw"] | None = None, shows: MaskShows = "object"
) -> Image.Image:
    """The photo [1 h w 3] as a picture; with a mask, cut out by it.

    A mask of the background without any background says nothing, as the one that ComfyUI loads beside a photo without
    transparency: the photo is then cut out by the model's own segmentation.

    Raises:
        InputError: there are several photos, the mask is that of another picture, or it is empty.
    """
    if len(image) != 1:
        raise InputError(f"One photo makes one object, but the batch holds {len(image)} images: select one of them.")
    photo = Image.fromarray(_bytes(image[0, ..., :3]))
    if mask is None or (shows == "background" and not bool((mask > 0).any())):
        return photo
    if len(mask) != 1 or mask.shape[1:] != image.shape[1:3]:
        sizes = f"{mask.shape[2]} x {mask.shape[1]} pixels, the photo {image.shape[2]} x {image.shape[1]}"
        raise InputError(f"The mask ({len(mask)} of {sizes}) is not that of the photo: connect one of the same size.")
    alpha = mask[0] if shows == "object" else 1 - mask[0]
    if not bool((alpha > 0.5).any()):
        other = "background" if shows == "object" else "object"
        raise InputError(f"The mask leaves nothing of the object: set mask_shows to {other}, or disconnect the mask.")
    photo.putalpha(Image.fromarray(_bytes(alpha)))
    return photo


def images_of(views: ViewSet) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w"]]:
    """Views [n v] as one batch of n v images on white, and their masks (1 on the object)."""
    rgb, alpha = views.rgb.flatten(0, 1).float().cpu(), views.alpha.flatten(0, 1).float().cpu()
    return (rgb * alpha + 1 - alpha).permute(0, 2, 3, 1).contiguous(), alpha[:, 0].contiguous()


def picture_image(picture: Image.Image) -> Float[Tensor, "1 h w 3"]:
    """A picture on white."""
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture.convert("RGBA"))
    return torch.from_numpy(np.asarray(ground.convert("RGB")).astype(np.float32) / 255)[None]


def sides_image(meshes: Sequence[TexturedMesh], size: int = 256) -> Float[Tensor, "b h w 3"]:
    """Each mesh from the front, the right, the back and the left, side by side."""
    strips = [Image.fromarray(np.concatenate(render_sides(mesh, size), 1)) for mesh in meshes]
    return torch.cat([picture_image(strip) for strip in strips])


def plain_mesh(mesh: TexturedMesh) -> Mesh:
    """For ComfyUI's own nodes."""
    return Mesh(mesh.vertices.detach().cpu()[None], mesh.faces.detach().cpu()[None])


def trimesh_of(mesh: TexturedMesh) -> Any:
    """A ``trimesh.Trimesh`` with its texture, for node packs that pass TRIMESH."""
    import trimesh

    from recon.io.meshes.glb import glb_bytes

    return trimesh.load(io.BytesIO(glb_bytes(mesh)), file_type="glb", force="mesh")


def _bytes(values: Float[Tensor, "..."]) -> np.ndarray:
    return (values.detach().float().cpu().clamp(0, 1) * 255).round().byte().numpy()
