"""Quantized, compressed form of a hypothesis, as the explorer's page reads it."""

import base64
import gzip
import io
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from PIL import Image
from torch import Tensor

from recon.core.splats import Splats
from recon.io.meshes.seams import split
from recon.report.explorer.view import Collider, SceneView

#: Splats beyond this number are thinned: they sort and draw too slowly in a browser.
MAX_SPLATS = 300_000
#: Voxels of fog along the longest side of the box.
_FOG_CELLS = 96
#: Cells around all known ones that are kept clear of fog, so that it never veils a surface.
_CLEARANCE = 2
_GRAY = 0.72


@dataclass
class Pack:
    """Arrays one after the other in one buffer, with a table of where each begins."""

    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)

    def add(self, name: str, array: Shaped[np.ndarray, "*s"]) -> None:
        """Append an array; each begins at a multiple of four bytes."""
        self.data.extend(b"\0" * (-len(self.data) % 4))
        self.sections[name] = {"type": array.dtype.name, "offset": len(self.data), "length": int(array.size)}
        self.data.extend(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes())

    def encoded(self) -> str:
        """The buffer, gzipped, in base64."""
        return base64.b64encode(gzip.compress(bytes(self.data), 6, mtime=0)).decode()


def pack_view(view: SceneView, uncertainty_top: float) -> tuple[dict[str, Any], str]:
    """Header and data of a hypothesis.

    Args:
        view: The hypothesis.
        uncertainty_top: Uncertainty at the upper end of the color ramp.
    """
    pack = Pack()
    header = {"mesh": _add_mesh(pack, view, uncertainty_top), "collider": _add_collider(pack, view.collider)}
    header["splats"] = None if view.splats is None or not len(view.splats) else _add_splats(pack, view, uncertainty_top)
    if view.sky is not None:
        pack.add("sky", _picture(view.sky if view.sky_seen is None else torch.cat([view.sky, view.sky_seen])))
    return header | {"sections": pack.sections}, pack.encoded()


def _add_mesh(pack: Pack, view: SceneView, top: float) -> dict[str, Any]:
    mesh = view.mesh
    textured = mesh.uv is not None and mesh.texture is not None
    if textured:
        parts = split(mesh, 180.0)
        points, faces, source = parts.positions, parts.faces, torch.from_numpy(parts.source.astype(np.int64))
        pack.add("mesh.uv", _steps(parts.uv.clip(0, 1), 65535).astype(np.uint16))
        pack.add("mesh.texture", _picture(mesh.texture))
        colors = torch.ones(len(points), 3)
    else:
        points, faces = mesh.vertices.detach().cpu().numpy(), mesh.faces.cpu().numpy()
        source = torch.arange(len(points))
        colors = torch.full((len(points), 3), _GRAY) if mesh.colors is None else mesh.colors.detach().float().cpu()
    positions, bounds = _quantized(points)
    pack.add("mesh.position", positions)
    uncertainty = share_of_top(view.per_vertex("uncertainty"), top)[source]
    pack.add("mesh.color", _bytes(torch.cat([colors, uncertainty[:, None]], -1)))
    pack.add("mesh.provenance", view.per_vertex("provenance")[source].round().clamp(0, 2).byte().numpy())
    # Differences of neighbors in the list compress to half of the numbers themselves.
    pack.add("mesh.index", np.diff(faces.reshape(-1).astype(np.int32), prepend=np.int32(0)))
    return bounds | {"textured": textured}


def _add_splats(pack: Pack, view: SceneView, top: float) -> dict[str, Any]:
    splats, kept = thinned(view.splats)
    count = len(splats)
    positions, bounds = _quantized(splats.position.numpy())
    sizes = splats.scale.numpy().clip(1e-6)
    low, high = np.log(sizes.min()), np.log(sizes.max())
    record = np.zeros((count, 20), np.uint8)
    record[:, 0:6] = positions.view(np.uint8).reshape(count, 6)
    record[:, 6] = _bytes(splats.opacity)
    record[:, 7] = view.per_splat("provenance")[kept].round().clamp(0, 2).byte().numpy()
    record[:, 8:11] = _bytes(splats.color)
    record[:, 11] = _bytes(share_of_top(view.per_splat("uncertainty")[kept], top))
    record[:, 12:16] = _steps(splats.rotation.numpy(), 127).astype(np.int8).view(np.uint8)
    record[:, 16:19] = _steps((np.log(sizes) - low) / max(high - low, 1e-9), 255).astype(np.uint8)
    # Byte by byte over all splats: like beside like compresses better.
    pack.add("splats", np.ascontiguousarray(record.T))
    return bounds | {"count": count, "log_scale": [float(low), float(high)]}


def thinned(splats: Splats, limit: int = MAX_SPLATS) -> tuple[Splats, Tensor]:
    """At most ``limit`` splats, each larger by as much as there are fewer, and the index of those kept."""
    splats = splats.to("cpu")
    if len(splats) <= limit:
        return splats, torch.arange(len(splats))
    kept = torch.linspace(0, len(splats) - 1, limit).round().long()
    fewer = splats[kept]
    return replace(fewer, scale=fewer.scale * (len(splats) / limit) ** 0.5), kept


def _add_collider(pack: Pack, collider: Collider) -> dict[str, Any]:
    pack.add("solid", _bits(collider.occupied))
    grid = collider.grid
    header = {"origin": grid.origin.tolist(), "cell": grid.cell, "shape": list(grid.shape), "fog": None}
    if collider.unknown is not None and bool(collider.unknown.any()):
        fog, factor = fog_cells(collider.unknown)
        pack.add("fog", _bits(fog))
        header["fog"] = {"shape": list(fog.shape), "cell": grid.cell * factor}
    return header


def fog_cells(unknown: Bool[Tensor, "x y z"]) -> tuple[Bool[Tensor, "a b c"], int]:
    """Coarse cells of which nothing is known, clear of all that is known, and how many cells each spans a side."""
    known = (~unknown).float().cpu()[None, None]
    for axis in range(3):
        size = [1, 1, 1]
        size[axis] = 2 * _CLEARANCE + 1
        known = torch.nn.functional.max_pool3d(known, size, 1, [each // 2 for each in size])
    factor = -(-max(unknown.shape) // _FOG_CELLS)
    coarse = torch.nn.functional.max_pool3d(known, factor, factor, ceil_mode=True)
    return coarse[0, 0] == 0, factor


def share_of_top(values: Float[Tensor, "*s"], top: float) -> Float[Tensor, "*s"]:
    """Uncertainty as a share of the ramp in 0 to 1; what is not a number is fully uncertain."""
    return (values / top).nan_to_num(1.0, 1.0, 0.0).clamp(0, 1)


def _quantized(points: Float[np.ndarray, "k 3"]) -> tuple[Shaped[np.ndarray, "k 3"], dict[str, Any]]:
    """Points in 65,535 steps along each side of their box, and the box."""
    low, high = points.min(0), points.max(0)
    size = np.maximum(high - low, 1e-6)
    return _steps((points - low) / size, 65535).astype(np.uint16), {"low": low.tolist(), "size": size.tolist()}


def _steps(values: np.ndarray, count: int) -> np.ndarray:
    return np.rint(values * count)


def _bytes(values: Float[Tensor, "*s"]) -> UInt8[np.ndarray, "*s"]:
    return (values.detach().float().cpu().clamp(0, 1) * 255).round().byte().numpy()


def _bits(cells: Bool[Tensor, "x y z"]) -> UInt8[np.ndarray, "b"]:
    """Eight cells a byte, the first in the lowest bit; z runs fastest."""
    return np.packbits(cells.cpu().numpy().reshape(-1), bitorder="little")


def _picture(image: Float[Tensor, "c h w"]) -> UInt8[np.ndarray, "b"]:
    """An image of three or four channels as the bytes of a WebP file."""
    buffer = io.BytesIO()
    # Colors stay as they are where alpha is 0: fog can be switched off.
    Image.fromarray(_bytes(image).transpose(1, 2, 0)).save(buffer, "WEBP", quality=88, exact=True)
    return np.frombuffer(buffer.getvalue(), np.uint8)
