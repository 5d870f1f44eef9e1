"""Registration to a photo: a turned, scaled and moved mesh is found again, and doubt is stated."""

import math

import pytest
import torch
import trimesh

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.photo_camera import PhotoCamera
from recon.posterior import Posterior, PosteriorConfig
from recon.posterior.from_meshes import UNCALIBRATED, hypotheses_of_meshes
from recon.registration import Poses, RegistrationConfig, place, register_to_photo
from recon.registration.poses import WORLDS, angles_between, world_rotations
from recon.registration.refine import RefineConfig, Stage
from recon.registration.search import SearchConfig
from recon.rendering import render_mesh

QUICK = RegistrationConfig(
    SearchConfig(azimuths=16, elevations=(0.0, 25.0, 50.0), size=24, kept=6),
    RefineConfig((Stage(32, 4, 3), Stage(48, 4, 2))),
)
GREY, RED, BLUE = (0.6, 0.6, 0.6), (0.9, 0.1, 0.1), (0.1, 0.2, 0.9)


def painted_box(extents, at, color) -> trimesh.Trimesh:
    box = trimesh.creation.box(extents, trimesh.transformations.translation_matrix(at)).subdivide().subdivide()
    box.visual.vertex_colors = [*(round(255 * c) for c in color), 255]
    return box


def as_mesh(*parts: trimesh.Trimesh) -> TexturedMesh:
    mesh = trimesh.util.concatenate(parts)
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces, mesh.visual.vertex_colors[:, :3] / 255)


def duck(beak: float = 0.2) -> TexturedMesh:
    """A body, a head off its middle, and a beak of ``beak`` length: nothing about it is symmetric."""
    return as_mesh(
        painted_box((0.8, 0.35, 0.4), (0, 0, 0), GREY),
        painted_box((0.25, 0.4, 0.25), (0.25, 0.35, 0.05), RED),
        painted_box((beak, 0.1, 0.1), (0.37 + beak / 2, 0.4, 0.05), BLUE),
    ).normalized()


def photo(mesh: TexturedMesh, azimuth: float, elevation: float, size: int = 96) -> torch.Tensor:
    one = torch.ones(1)
    camera = PhotoCamera(elevation * one, 0.02 * one, 0.03 * one, -0.1 * one, 1.6 * one, azimuth * one)
    seen = render_mesh(mesh, camera.cameras(size))
    return torch.cat([seen.rgb[0, 0], seen.alpha[0, 0]])


def moved(mesh: TexturedMesh, world: str, scale: float = 3.0) -> TexturedMesh:
    """The mesh as a program with other axes, units and origin would write it."""
    matrix = torch.eye(4)
    matrix[:3, :3] = world_rotations()[WORLDS.index(world)].T * scale
    matrix[:3, 3] = torch.tensor([2.0, -1.0, 0.5])
    return mesh.transformed(matrix)


def error(found, azimuth: float, elevation: float) -> float:
    one = torch.ones(1)
    camera = PhotoCamera(elevation * one, 0 * one, 0 * one, 0 * one, one, azimuth * one)
    return float(angles_between(found.poses[:1].rotations, Poses(found.poses.world[:1], camera).rotations))


@pytest.mark.parametrize(("world", "azimuth", "elevation"), [("y_up", 200.0, 20.0), ("z_up", 75.0, 40.0)])
def test_a_turned_and_scaled_mesh_is_found(world: str, azimuth: float, elevation: float) -> None:
    found = register_to_photo(moved(duck(), world).normalized(), photo(duck(), azimuth, elevation), config=QUICK)
    assert found.world == world
    assert error(found, azimuth, elevation) < 2
    assert found.overlap > 0.95
    assert found.confidence > 0.9


def test_color_tells_front_from_back() -> None:
    """The silhouette is the same from both sides."""
    sides = [painted_box((0.6, 0.5, 0.1), (0, 0, z), color) for z, color in ((0.05, RED), (-0.05, BLUE))]
    card = as_mesh(*sides).normalized()
    for azimuth in (10.0, 190.0):
        found = register_to_photo(card, photo(card, azimuth, 15.0), "y-up", QUICK)
        assert error(found, azimuth, 15.0) < 3


def test_a_symmetric_object_is_not_stated_with_confidence() -> None:
    """A gray slab looks the same from both sides."""
    slab = as_mesh(painted_box((0.7, 0.3, 0.2), (0, 0, 0), GREY)).normalized()
    found = register_to_photo(slab, photo(slab, 30.0, 20.0), "y-up", QUICK)
    assert found.confidence < 0.7
    assert found.margin < 1
    turned = float(found.poses.camera.azimuth[1] - found.poses.camera.azimuth[0]) % 360
    assert turned == pytest.approx(180, abs=5)


def test_the_photo_frame_leaves_the_azimuth_alone() -> None:
    found = register_to_photo(duck(), photo(duck(), 0.0, 35.0), "photo", QUICK)
    assert float(found.camera.azimuth) == 0
    assert float(found.camera.elevation) == pytest.approx(35, abs=2)


def test_an_encoder_sees_the_whole_search_in_one_batch() -> None:
    calls = []

    def encoder(pictures: torch.Tensor) -> torch.Tensor:
        calls.append(len(pictures))
        return pictures[:, :3].mean((2, 3)) + 1e-3

    register_to_photo(duck(), photo(duck(), 30.0, 20.0), "y-up", QUICK, encoder)
    assert calls == [16 * 3, 1]  # and the photo


def test_placed_meshes_show_what_the_photo_shows() -> None:
    """In one frame: photographed from +Z, whatever their files say, with the same surface in the same place."""
    rgba = photo(duck(), 200.0, 20.0)
    placed = place([moved(duck(), "y_up"), moved(duck(), "z_up", 0.1)], rgba, config=QUICK)
    first, second = placed.meshes
    assert float((first.vertices - second.vertices).norm(dim=-1).max()) < 0.03
    again = render_mesh(first, placed.cameras[:1].cameras(96))
    both = torch.minimum(again.alpha[0, 0, 0], rgba[3]).sum() / torch.maximum(again.alpha[0, 0, 0], rgba[3]).sum()
    assert float(both) > 0.94
    assert placed.cameras.azimuth.tolist() == [0, 0]


def test_a_posterior_of_meshes_names_the_stranger_and_is_uncalibrated() -> None:
    rgba = photo(duck(), 200.0, 20.0)
    stick = as_mesh(painted_box((0.1, 0.1, 1.0), (0, 0, 0), BLUE))
    made = hypotheses_of_meshes([duck(), stick, moved(duck(0.25), "z_up")], rgba, names=["a", "b", "c"], config=QUICK)
    assert [text for text in made.warnings if "'b'" in text and "another object" in text]
    assert not [text for text in made.warnings if "'a'" in text or "'c'" in text]
    assert made.warnings[-1] == UNCALIBRATED
    assert made.hypotheses[1].weight == min(h.weight for h in made.hypotheses)
    assert all(math.isclose(h.elevation or 0, 20, abs_tol=3) for h in (made.hypotheses[0], made.hypotheses[2]))


@pytest.mark.slow
def test_posterior_from_meshes_is_that_of_the_registered_hypotheses() -> None:
    rgba, config = photo(duck(), 200.0, 20.0), PosteriorConfig(grid=32, samples=512)
    posterior = Posterior.from_meshes([moved(duck(), "z_up"), duck(0.25)], rgba, "auto", config)
    assert len(posterior) == 2
    assert posterior.calibration is None
    assert UNCALIBRATED in posterior.warnings
    assert posterior.ambiguity < 0.15


def test_meshes_of_another_object_alone_are_refused() -> None:
    stick = as_mesh(painted_box((0.05, 0.05, 1.0), (0, 0, 0), BLUE))
    with pytest.raises(InputError, match="No mesh fits the photo"):
        hypotheses_of_meshes([stick], photo(duck(), 200.0, 20.0), config=QUICK)
    with pytest.raises(InputError, match="at least one mesh"):
        hypotheses_of_meshes([], photo(duck(), 200.0, 20.0))
    with pytest.raises(InputError, match="shows no object"):
        register_to_photo(duck(), torch.zeros(4, 32, 32))


def test_angles_between_orientations_are_exact() -> None:
    turns = torch.stack([torch.eye(3), torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])])
    assert angles_between(turns, turns).tolist() == [[0, pytest.approx(90)], [pytest.approx(90), 0]]
    small = torch.linalg.matrix_exp(torch.tensor([[0.0, -1e-3, 0], [1e-3, 0, 0], [0, 0, 0]]))
    assert float(angles_between(small[None], turns[:1])) == pytest.approx(math.degrees(1e-3), rel=1e-3)
