"""Next views and conditioning: what is visible from where decides, and simulated information obeys its laws."""

import math

import pytest
import torch
import trimesh

from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.posterior import Hypothesis, Posterior, PosteriorConfig
from recon.posterior.conditioning import (
    Evidence,
    NoiseModel,
    bayes_update,
    condition,
    entropy_bits,
    information_after,
)
from recon.posterior.next_view import NextViewConfig, mutual_information, next_view
from recon.rendering import render_mesh
from recon.rendering.framing import framed_as
from recon.report.next_view_map import draw_next_view, information_color

CONFIG = NextViewConfig(azimuths=8, elevations=(0.0, 40.0), draws=16)
EVEN = torch.tensor([0.5, 0.5])


def knobbed(azimuth: float | None, color: tuple[float, float, float] = (0.3, 0.5, 0.8)) -> TexturedMesh:
    """A ball with a knob at an azimuth, or with none."""
    parts = [trimesh.creation.icosphere(3, 0.3)]
    if azimuth is not None:
        knob = trimesh.creation.icosphere(2, 0.14)
        angle = math.radians(azimuth)
        knob.apply_translation([0.34 * math.sin(angle), 0, 0.34 * math.cos(angle)])
        parts.append(knob)
    mesh = trimesh.util.concatenate(parts)
    return TexturedMesh.from_arrays(mesh.vertices, mesh.faces, mesh.vertices * 0 + color)


def photo(mesh: TexturedMesh, azimuth: float, elevation: float = 0.0, size: int = 64) -> torch.Tensor:
    views = render_mesh(mesh, Cameras.orbit([azimuth], elevation, size=size))
    return torch.cat([views.rgb, views.alpha], 2)[0, 0]


@pytest.fixture(scope="module")
def pair() -> list[TexturedMesh]:
    return [knobbed(None), knobbed(180.0)]


def test_a_hidden_knob_is_looked_for_from_the_side(pair) -> None:
    found = next_view(pair, EVEN, 2, CONFIG)
    azimuth, elevation = found.best
    assert abs(azimuth - 180) <= 135
    assert azimuth not in (0.0, 45.0, 315.0)
    assert elevation in CONFIG.elevations
    front = found.information[0, 0]
    assert front < 0.05  # the ball hides it
    assert found.cumulative[0] == pytest.approx(1.0, abs=0.02)
    assert found.entropy == pytest.approx(1.0)
    assert found.left_after_best <= 0.6 * found.left_after_random


def test_information_lies_between_nothing_and_the_entropy(pair) -> None:
    weights = torch.tensor([0.2, 0.5, 0.3])
    found = next_view([*pair, knobbed(90.0)], weights, 3, CONFIG)
    assert (found.information >= 0).all()
    assert (found.information <= found.entropy + 1e-4).all()
    assert list(found.cumulative) == sorted(found.cumulative)
    assert len(set(found.chosen)) == 3
    record = found.to_dict()
    assert record["views"][0]["azimuth"] == found.best[0]
    assert record["views"][1]["expected_entropy_left_bits"] <= record["views"][0]["expected_entropy_left_bits"]


def test_equal_hypotheses_leave_nothing_to_learn() -> None:
    found = next_view([knobbed(30.0)] * 3, None, 1, CONFIG)
    assert found.information.abs().max() < 1e-4


def test_information_of_two_points_is_that_of_a_binary_gaussian_channel() -> None:
    """Against numerical integration: two equally likely means at distance d under unit noise."""
    x = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    for distance in (0.5, 2.0, 6.0):
        density = [torch.exp(-0.5 * (x - sign * distance / 2) ** 2) / math.sqrt(2 * math.pi) for sign in (-1, 1)]
        mixture = (density[0] + density[1]) / 2
        exact = float(-(torch.special.xlogy(mixture, mixture)).sum() * (x[1] - x[0])) - 0.5 * math.log(
            2 * math.pi * math.e
        )
        gram = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])[None] * distance**2 / 4
        simulated = float(mutual_information(gram, EVEN, draws=20_000)[0])
        assert simulated == pytest.approx(exact / math.log(2), abs=0.01)


def test_order_does_not_matter_and_posteriors_serve_as_they_are(pair) -> None:
    weights = torch.tensor([0.3, 0.7])
    one, other = next_view(pair, weights, 1, CONFIG), next_view(pair[::-1], weights.flip(0), 1, CONFIG)
    assert torch.allclose(one.information, other.information, atol=0.05)
    posterior = Posterior.from_hypotheses([Hypothesis(mesh) for mesh in pair], PosteriorConfig(grid=32, samples=64))
    assert next_view(posterior, num_views=1, config=CONFIG).best[0] not in (0.0, 45.0, 315.0)


def test_settings_that_cannot_be_used_are_refused(pair) -> None:
    with pytest.raises(InputError, match="at least 1"):
        next_view(pair, num_views=0, config=CONFIG)
    with pytest.raises(InputError, match="between -90 and 90"):
        next_view(pair, config=NextViewConfig(elevations=(95.0,)))
    with pytest.raises(InputError, match="azimuths"):
        next_view(pair, config=NextViewConfig(azimuths=1))


def test_the_map_is_drawn(pair) -> None:
    found = next_view(pair, EVEN, 1, CONFIG)
    picture = draw_next_view(found, pair)
    assert picture.width == 960
    assert len(picture.getcolors(1 << 20)) > 50
    assert sum(information_color(0.0)) > sum(information_color(0.5)) > sum(information_color(1.0))


def test_a_second_photo_picks_the_hypothesis_it_shows() -> None:
    meshes = [knobbed(180.0), knobbed(90.0), knobbed(None)]
    weights = torch.full((3,), 1 / 3)
    for truth in range(3):
        evidence = Evidence(photo(meshes[truth], 120.0), Cameras.orbit([120.0], 0.0), framed=True)
        found = condition(meshes, weights, evidence)
        assert int(found.weights.argmax()) == truth
        assert found.weights[truth] > 0.9
        assert found.entropy_after < found.entropy_before == pytest.approx(math.log2(3), abs=1e-5)
        assert 1 <= found.effective_size < 1.5
        assert float(found.weights.sum()) == pytest.approx(1, abs=1e-5)


def test_what_a_photo_cannot_tell_it_does_not_tell(pair) -> None:
    """From the front the knob is hidden: the weights stay."""
    evidence = Evidence(photo(pair[1], 0.0), Cameras.orbit([0.0], 0.0), framed=True)
    assert torch.allclose(condition(pair, EVEN, evidence).weights, EVEN, atol=0.05)


def test_colors_tell() -> None:
    meshes = [knobbed(90.0), knobbed(90.0, (0.9, 0.1, 0.1))]
    evidence = Evidence(photo(meshes[1], 180.0), Cameras.orbit([180.0], 0.0), framed=True)
    assert condition(meshes, EVEN, evidence).weights[1] > 0.9


def test_a_recentered_photo_needs_no_lens() -> None:
    """The picture is a crop of unknown place and scale around the object."""
    meshes = [knobbed(90.0), knobbed(None)]
    large = photo(meshes[0], 0.0, size=128)
    rows, columns = ((large[3] > 0.5).any(axis).nonzero()[:, 0] for axis in (1, 0))
    crop = large[:, rows[0] - 6 : rows[-1] + 20, columns[0] - 15 : columns[-1] + 4]
    side = max(crop.shape[1:])
    crop = torch.nn.functional.pad(crop, (0, side - crop.shape[2], 0, side - crop.shape[1]))
    found = condition(meshes, EVEN, Evidence(crop, Cameras.orbit([0.0], 0.0)))
    assert found.weights[0] > 0.9
    camera = framed_as(meshes[0].vertices, Cameras.orbit([0.0], 0.0, size=side), crop[3])
    again = render_mesh(meshes[0], camera).alpha[0, 0, 0]
    assert ((again > 0.5) == (crop[3] > 0.5)).float().mean() > 0.97


def test_evidence_that_fits_nothing_is_believed_less() -> None:
    """A box fits no ball: the likelihood is tempered until its best hypothesis fits as well as noise would."""
    box = trimesh.creation.box((0.9, 0.1, 0.3))
    box = TexturedMesh.from_arrays(box.vertices, box.faces, box.vertices * 0 + 0.5)
    meshes = [knobbed(90.0), knobbed(None)]
    wrong = condition(meshes, EVEN, Evidence(photo(box, 0.0), Cameras.orbit([0.0], 0.0), framed=True))
    right = condition(meshes, EVEN, Evidence(photo(meshes[0], 0.0), Cameras.orbit([0.0], 0.0), framed=True))
    assert right.temperature == 1.0
    assert wrong.temperature > 3.0


def test_candidate_cameras_are_averaged() -> None:
    """Which way the camera stood is not known: the right one among three is enough."""
    meshes = [knobbed(180.0), knobbed(None)]
    evidence = Evidence(photo(meshes[0], 90.0), Cameras.orbit([0.0, 90.0, 200.0], 0.0), framed=True)
    assert condition(meshes, EVEN, evidence).weights[0] > 0.9


def test_pictures_without_an_object_are_refused(pair) -> None:
    with pytest.raises(InputError, match="no object"):
        condition(pair, EVEN, Evidence(torch.zeros(4, 16, 16), Cameras.orbit([0.0], 0.0)))


def test_information_left_falls_where_the_truth_shows(pair) -> None:
    cameras = Cameras.orbit([0.0, 90.0], 0.0)
    front, side = information_after(pair, EVEN, pair[1], cameras, NoiseModel()).tolist()
    assert front == pytest.approx(1.0, abs=0.05)
    assert side < 0.05


def test_entropy_and_bayes() -> None:
    assert entropy_bits(torch.tensor([0.25] * 4)) == pytest.approx(2.0)
    assert entropy_bits(torch.tensor([1.0, 0.0])) == 0.0
    new = bayes_update(torch.tensor([0.5, 0.5]), torch.tensor([math.log(3.0), 0.0]))
    assert torch.allclose(new, torch.tensor([0.75, 0.25]))
    assert (bayes_update(torch.tensor([0.5, 0.5]), torch.tensor([-1e6, 0.0])) > 0).all()
