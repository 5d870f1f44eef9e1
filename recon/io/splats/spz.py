"""SPZ version 3: splats in 20 bytes each before compression, in one gzip stream.

Layout (Niantic's open format): a header of 16 bytes, then by attribute positions as 24-bit fixed point, opacities,
colors, scales on a logarithmic byte, rotations as the smallest three quaternion components in 32 bits. Axes are
right, up, back, which is this package's world.
"""

import gzip
import io
import os
import struct
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from recon.core.errors import InputError
from recon.core.reading import read_bytes, reading
from recon.core.splats import SH_0, Splats
from recon.io.folders import write_bytes
from recon.io.splats.ply import check

_MAGIC, _VERSION, _HEADER = 0x5053474E, 3, "<IIIBBBB"
#: Color of a coefficient's byte: coefficients reach a little beyond displayable colors.
_COLOR_SCALE = 0.15
_BYTES = (9, 1, 3, 3, 4)  # position, opacity, color, scale, rotation
#: Largest position in 24 signed bits, and the finest step that the format's reference writes.
_LARGEST, _FRACTION = 2**23 - 1, 12
#: Bytes of a file, packed and unpacked.
_MOST = 1 << 30
#: Spherical harmonics of degree 1 to 4, in bytes a splat.
_HARMONICS = (0, 9, 24, 45, 72)


def save_spz(splats: Splats, path: str | os.PathLike) -> Path:
    """Write splats atomically as SPZ. Raises :class:`InputError` for what the format cannot hold."""
    splats = check(splats).to("cpu")
    farthest = float(splats.position.abs().max())
    bits = min(_FRACTION, int(np.floor(np.log2(_LARGEST / max(farthest, 1e-9)))))
    if bits < 0:
        raise InputError(f"SPZ holds positions up to {_LARGEST}, not {farthest:g}: choose a smaller scale.")
    header = struct.pack(_HEADER, _MAGIC, _VERSION, len(splats), 0, bits, 0, 0)
    fixed = (splats.position.double().numpy() * 2**bits).round().astype("<i4")
    opacity, color = splats.opacity.numpy() * 255, (splats.harmonics.numpy() * _COLOR_SCALE + 0.5) * 255
    scale = (np.log(splats.scale.numpy().clip(1e-9)) + 10) * 16
    parts = [fixed.reshape(-1, 1).view(np.uint8)[:, :3], *map(_byte, (opacity, color, scale))]
    body = b"".join(part.tobytes() for part in parts) + _packed(splats.rotation.double().numpy()).tobytes()
    return write_bytes(path, gzip.compress(header + body, compresslevel=6, mtime=0))


def load_spz(path: str | os.PathLike) -> Splats:
    """Read SPZ of version 3; spherical harmonics beyond the constant one are skipped. Raises :class:`InputError`."""
    path = Path(path)
    with reading(path, "SPZ file", "export it again"):
        data = _unzipped(read_bytes(path, _MOST))
        magic, version, count, degree, bits, _, _ = struct.unpack_from(_HEADER, data)
    if magic != _MAGIC or version != _VERSION:
        raise InputError(f"'{path}' is not SPZ version {_VERSION}: export it as that version.")
    if degree >= len(_HARMONICS) or len(data) < 16 + count * (sum(_BYTES) + _HARMONICS[degree]):
        raise InputError(f"'{path}' ends before its {count} splats: export it again.")
    if bits > 23:
        raise InputError(f"'{path}' states {bits} bits of fraction for positions of 24 bits: export it again.")
    raw, start = [], struct.calcsize(_HEADER)
    for width in _BYTES:
        raw.append(np.frombuffer(data, np.uint8, count * width, start).reshape(count, width))
        start += count * width
    position, opacity, color, scale, rotation = raw
    fixed = np.zeros((count * 3, 4), np.uint8)
    fixed[:, 1:] = position.reshape(-1, 3)
    values = (
        (fixed.view("<i4") >> 8).reshape(count, 3) / 2**bits,
        np.exp(scale / 16 - 10),
        _unpacked(np.ascontiguousarray(rotation).view("<u4")[:, 0]),
        opacity[:, 0] / 255,
        (color / 255 - 0.5) / _COLOR_SCALE * SH_0 + 0.5,
    )
    return Splats(*(torch.from_numpy(np.asarray(value, np.float32)) for value in values))


def _unzipped(data: bytes) -> bytes:
    """The content of a gzip stream of at most ``_MOST`` bytes."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"it unpacks to more than {_MOST >> 20} MiB")
    return content


def _byte(values: Float[np.ndarray, "*s"]) -> UInt8[np.ndarray, "*s"]:
    return values.round().clip(0, 255).astype(np.uint8)


def _packed(rotation: Float[np.ndarray, "p 4"]) -> np.ndarray:
    """Quaternions w, x, y, z as 2 bits for the largest component of x, y, z, w and 10 bits for each other one."""
    q = np.roll(rotation / np.linalg.norm(rotation, axis=1, keepdims=True), -1, 1)  # x, y, z, w
    largest = np.abs(q).argmax(1)
    q = q * np.where(np.take_along_axis(q, largest[:, None], 1) < 0, -1, 1)
    word = largest.astype("<u4")
    for i in range(4):
        magnitude = np.floor(511 * np.abs(q[:, i]) * np.sqrt(2) + 0.5).clip(0, 511).astype("<u4")
        value = ((q[:, i] < 0).astype("<u4") << 9) | magnitude
        word = np.where(largest == i, word, (word << 10) | value)
    return word.astype("<u4")


def _unpacked(word: np.ndarray) -> Float[np.ndarray, "p 4"]:
    """The inverse of :func:`_packed`."""
    largest, q = word >> 30, np.zeros((len(word), 4))
    for i in reversed(range(4)):
        own = largest == i
        magnitude = (word & 511) / 511 / np.sqrt(2)
        q[:, i] = np.where(own, 0.0, np.where(word & 512, -magnitude, magnitude))
        word = np.where(own, word, word >> 10)
    rest = np.sqrt((1 - (q**2).sum(1)).clip(0))
    q[np.arange(len(q)), largest] = rest
    return np.roll(q, 1, 1)
