"""Splat files against their own definitions, on clouds without symmetry."""

import gzip
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.core.errors import InputError
from recon.core.splats import Splats, product, quaternion, rotation_matrix
from recon.io.splats import load_spz, save_splat_ply, save_spz


def cloud(count: int = 200, seed: int = 0) -> Splats:
    """Splats of all sizes, turned every way; no axis is like another."""
    g = torch.Generator().manual_seed(seed)
    position = torch.randn(count, 3, generator=g) * torch.tensor([1.0, 2.0, 4.0]) + torch.tensor([0.5, -1.0, 2.0])
    scale = torch.rand(count, 3, generator=g) * torch.tensor([0.1, 0.03, 0.01]) + 1e-3
    rotation = torch.nn.functional.normalize(torch.randn(count, 4, generator=g), dim=-1)
    return Splats(position, scale, rotation, torch.rand(count, generator=g), torch.rand(count, 3, generator=g))


def same_turn(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Largest angle in radians between rotations that quaternions and their negatives share."""
    return 2 * torch.acos((a * b).sum(-1).abs().clamp_max(1)).max()


def read_ply(path) -> tuple[list[str], np.ndarray]:
    raw = path.read_bytes()
    head, body = raw.split(b"end_header\n", 1)
    lines = head.decode().splitlines()
    names = [line.split()[-1] for line in lines if line.startswith("property")]
    return lines, np.frombuffer(body, [(name, "<f4") for name in names])


def test_quaternions_and_matrices_are_inverse():
    q = cloud().rotation
    assert same_turn(quaternion(rotation_matrix(q)), q) < 2e-3
    a, b = q[:100], q[100:]
    torch.testing.assert_close(
        rotation_matrix(product(a, b)), rotation_matrix(a) @ rotation_matrix(b), atol=1e-5, rtol=0
    )


def test_moving_splats_moves_their_covariance():
    splats, angle = cloud(), 0.7
    matrix = torch.eye(4)
    matrix[:3, :3] = 2.5 * torch.tensor(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    matrix[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    moved = splats.transformed(matrix)

    def covariance(s: Splats) -> torch.Tensor:
        axes = rotation_matrix(s.rotation) * s.scale[:, None]
        return axes @ axes.mT

    expected = matrix[:3, :3] @ covariance(splats) @ matrix[:3, :3].T
    torch.testing.assert_close(covariance(moved), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moved.position, splats.position @ matrix[:3, :3].T + matrix[:3, 3])


def test_ply_says_its_axes_and_turns_positions_and_discs(tmp_path):
    splats = cloud()
    for axes, flip, word in (("gltf", [1, 1, 1], "+Y up"), ("opencv", [1, -1, -1], "+Y down")):
        lines, table = read_ply(save_splat_ply(splats, tmp_path / f"{axes}.ply", axes))
        assert any(line.startswith("comment axes") and word in line for line in lines)
        position = np.stack([table["x"], table["y"], table["z"]], -1)
        np.testing.assert_allclose(position, splats.position.numpy() * flip, atol=1e-6)
        q = torch.from_numpy(np.stack([table[f"rot_{i}"] for i in range(4)], -1).copy())
        turned = rotation_matrix(q)[..., 2]
        torch.testing.assert_close(turned, splats.normal * torch.tensor(flip), atol=1e-5, rtol=0)
        np.testing.assert_allclose(np.exp(table["scale_1"]), splats.scale[:, 1].numpy(), rtol=1e-5)
        np.testing.assert_allclose(table["f_dc_2"] * 0.28209479 + 0.5, splats.color[:, 2].numpy(), atol=1e-5)
        np.testing.assert_allclose(1 / (1 + np.exp(-table["opacity"])), splats.opacity.numpy(), atol=2e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), size=st.sampled_from([0.01, 1.0, 300.0]))
def test_spz_gives_back_what_its_bits_hold(tmp_path_factory, seed, size):
    splats = cloud(50, seed).transformed(torch.diag(torch.tensor([size, size, size, 1.0])))
    path = save_spz(splats, tmp_path_factory.mktemp("spz") / "a.spz")
    back = load_spz(path)
    step = 2.0**-12 if size < 300 else 2.0**-11  # 24 bits reach 2048 units in steps of 2^-12
    assert (back.position - splats.position).abs().max() <= step
    fits = (splats.scale.log() > -10) & (splats.scale.log() < 5.9)
    assert (back.scale.log() - splats.scale.log())[fits].abs().max() <= 1 / 32 + 1e-4
    assert same_turn(back.rotation, splats.rotation) < 0.01
    assert (back.opacity - splats.opacity).abs().max() <= 0.5 / 255 + 1e-6
    assert (back.color - splats.color).abs().max() <= 0.5 / 255 / 0.15 * 0.2821 + 1e-5


def test_spz_header_and_size_are_those_of_version_3(tmp_path):
    data = gzip.decompress(save_spz(cloud(7), tmp_path / "a.spz").read_bytes())
    assert struct.unpack_from("<IIIBBBB", data) == (0x5053474E, 3, 7, 0, 12, 0, 0)
    assert len(data) == 16 + 7 * 20
    raw = np.frombuffer(data, np.uint8, 9, 16).astype(np.int64)  # first position, 24 bits little-endian
    fixed = raw[0::3] | raw[1::3] << 8 | raw[2::3] << 16
    fixed = np.where(fixed >= 2**23, fixed - 2**24, fixed)
    np.testing.assert_allclose(fixed / 4096, cloud(7).position[0].numpy(), atol=1 / 4096)


def test_what_cannot_be_written_or_read_is_said(tmp_path):
    none = cloud(3)[:0]
    broken = cloud(3)
    broken.position[1, 1] = torch.nan
    for write in (save_spz, save_splat_ply):
        with pytest.raises(InputError, match="no splats"):
            write(none, tmp_path / "x")
        with pytest.raises(InputError, match="not finite"):
            write(broken, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    for data in (
        b"text",
        gzip.compress(b"short"),
        gzip.compress(struct.pack("<IIIBBBB", 0x5053474E, 3, 9, 0, 12, 0, 0)),
    ):
        (tmp_path / "bad.spz").write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.spz"):
            load_spz(tmp_path / "bad.spz")
