"""The azimuth of a second photo, estimated from hypotheses whose truth is known."""

import pytest
import torch
from asymmetric import seat

from mvdiff.runs.azimuth import estimate_azimuth
from recon import Cameras, TexturedMesh
from recon.posterior.conditioning import Evidence
from recon.rendering import render_mesh


def photo(mesh: TexturedMesh, azimuth: float, elevation: float = 20.0) -> torch.Tensor:
    view = render_mesh(mesh, Cameras.orbit([azimuth], elevation, size=64))
    return torch.cat([view.rgb, view.alpha], 2)[0, 0]


def unplaced(rgba: torch.Tensor, *elevations: float) -> Evidence:
    return Evidence(rgba, Cameras.orbit([0.0] * len(elevations), list(elevations), size=64))


def turned(mesh: TexturedMesh, degrees: float) -> TexturedMesh:
    angle = torch.deg2rad(torch.tensor(degrees))
    world = torch.eye(4)
    world[0, 0], world[0, 2], world[2, 0], world[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    return mesh.transformed(world)


@pytest.mark.parametrize("azimuth", [-165.0, -70.0, 0.0, 35.0, 120.0, 180.0])
def test_a_known_object_tells_where_its_photo_was_taken(azimuth: float) -> None:
    found = estimate_azimuth([seat()], torch.ones(1), unplaced(photo(seat(), azimuth), 0.0, 20.0, 40.0))
    assert abs((found.azimuth - azimuth + 180) % 360 - 180) <= 2.5
    assert found.tolerance <= 20
    assert found.rival is None


def test_the_angle_is_that_of_the_hypothesis_that_fits() -> None:
    """One hypothesis is the object, the other a turned copy that hardly anything speaks for."""
    meshes = [seat(), turned(seat(), 90.0)]
    evidence = unplaced(photo(seat(), 60.0), 20.0)
    assert estimate_azimuth(meshes, torch.tensor([0.99, 0.01]), evidence).azimuth == 60
    assert estimate_azimuth(meshes, torch.tensor([0.01, 0.99]), evidence).azimuth == 150


def test_a_symmetric_object_has_a_rival_and_says_so() -> None:
    half = seat()
    mesh = TexturedMesh(
        torch.cat([half.vertices, turned(half, 180.0).vertices]),
        torch.cat([half.faces, half.faces + len(half.vertices)]),
        colors=torch.cat([half.colors, half.colors]),
    )
    found = estimate_azimuth([mesh], torch.ones(1), unplaced(photo(mesh, 50.0), 20.0))
    assert {round(found.azimuth), round(found.rival)} == {50, -130}
    assert "fits nearly as well" in found.sentence()
