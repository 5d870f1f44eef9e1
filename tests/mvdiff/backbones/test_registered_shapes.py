"""Sources of shapes as backbones: the contract, runs like any other, colors, capabilities, calibration."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from asymmetric import seat
from PIL import Image
from tiny_shapes import trellis_folder, triposg_folder

from mvdiff import ImageTo3D
from mvdiff.backbones.embedded import EmbeddedSampler
from mvdiff.backbones.painting import Painter, paint
from mvdiff.backbones.registered_shapes import RegisteredShapes
from mvdiff.backbones.registry import load_sampler
from mvdiff.backbones.shape_meshes import MAX_DRAWS, next_draw
from mvdiff.runs.capabilities import check_shape_options
from mvdiff.runs.folder import FolderStore
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.rectified_flow import FlowSettings
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.sampler import Sampled, SamplingRequest
from mvdiff.sampling.shape_sampler import SampledShapes, ShapeRequest, ShapeSamplerInfo
from mvdiff.testing import check_backbone
from recon import Cameras, ReconstructionConfig
from recon.core.errors import InputError
from recon.core.grid import VoxelGrid
from recon.ops.voxelize import mesh_distance
from recon.rendering import render_mesh
from recon.surface.projection import UNSEEN, unseen_share

FAST = ReconstructionConfig.preset("fast")


class Seats:
    """A source of one known shape, upright by +Z, turned by an angle of its seed; those of odd seeds come out empty."""

    device = torch.device("cpu")
    chunk = 4
    info = ShapeSamplerInfo("seats", "Apache-2.0", "z-up", FlowSettings(3, 2.0), {"name": "none", "sha256": "seats"})

    def __init__(self) -> None:
        self.asked: list[int] = []

    def prepare(self, photo, matting: bool = True, framing="recentre") -> ReferenceImage:
        return prepare(photo, size=128, matting=matting, framing=framing)

    def sample(self, request: ShapeRequest, on_step=None) -> SampledShapes:
        self.asked += request.seeds
        grid = VoxelGrid(torch.zeros(3), 0.6, 48)
        fields = [self.field(seed, grid) for seed in request.seeds]
        for step in range(request.settings.steps):
            if on_step is not None:
                on_step(step + 1)
        return SampledShapes(torch.stack(fields), 0.6, "z-up")

    def field(self, seed: int, grid: VoxelGrid) -> torch.Tensor:
        if seed % 2:
            return torch.ones(grid.resolution, grid.resolution, grid.resolution)
        angle = torch.tensor(float(seed))
        turn = torch.eye(4)
        turn[0, 0], turn[0, 2], turn[2, 0], turn[2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
        upright = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        return mesh_distance(seat().normalized().transformed(upright @ turn), grid)


@pytest.fixture(scope="module")
def seat_photo(tmp_path_factory) -> Path:
    """The seat from azimuth 40 and elevation 25."""
    picture = render_mesh(seat(), Cameras.orbit([40.0], [25.0], size=256))
    rgba = torch.cat([picture.rgb, picture.alpha], 2)[0, 0].permute(1, 2, 0)
    path = tmp_path_factory.mktemp("seat") / "seat.png"
    Image.fromarray((rgba * 255).round().byte().numpy()).save(path)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("shapes")
    return {"trellis-coarse": trellis_folder(root / "trellis"), "triposg": triposg_folder(root / "triposg")}


def seats(**options) -> RegisteredShapes:
    return RegisteredShapes.of(Seats(), **options).meshed(FAST)


def request_of(sampler: RegisteredShapes, photo: Path, seeds: list[int]) -> SamplingRequest:
    return SamplingRequest(sampler.prepare(photo), seeds, GenerationConfig(**sampler.info.defaults))


@pytest.mark.slow
def test_a_real_one_keeps_the_contract_of_backbones(folders: dict[str, Path], photo: Path) -> None:
    sampler = load_sampler("trellis-coarse", weights=folders["trellis-coarse"], device="cpu", dtype=torch.float32)
    assert len(check_backbone(sampler.meshed(FAST), photo)) > 15


@pytest.fixture(scope="module")
def drawn(seat_photo: Path) -> Sampled:
    """Two seats of different turns."""
    sampler = seats()
    return sampler.sample(request_of(sampler, seat_photo, [2, 4]))


def test_turned_shapes_come_into_the_frame_of_the_photo_in_their_own_detail(drawn: Sampled, seat_photo: Path) -> None:
    """Whatever their turn, they are one and the same shape there, seen from the photo's side."""
    truth = prepare(seat_photo).rgba
    for k, shape in enumerate(drawn.shapes):
        assert shape.registration["up"] == "z_up"
        assert shape.registration["silhouette_iou"] > 0.95
        assert abs(shape.registration["elevation"] - 25) < 4
        seen = render_mesh(shape.mesh, drawn.photo_cameras[k : k + 1].cameras(128))
        assert float((seen.alpha[0, 0, 0] - truth[3]).abs().mean()) < 0.02
    first, second = (mesh_distance(shape.mesh, VoxelGrid(torch.zeros(3), 0.55, 32)) for shape in drawn.shapes)
    assert float(((first < 0) ^ (second < 0)).float().sum() / (first < 0).float().sum()) < 0.15


def test_an_empty_shape_is_drawn_again_from_its_own_stream(seat_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 3 and the next draws of it are odd, so that it stays empty; that of 2 is drawn once."""
    sampler = seats()
    with pytest.raises(InputError, match=f"an empty shape {MAX_DRAWS} times in a row"):
        sampler.sample(request_of(sampler, seat_photo, [2, 3]))
    source = sampler.source
    assert isinstance(source, Seats)
    assert source.asked == [2, 3, *(next_draw(3, attempt) for attempt in range(1, MAX_DRAWS))]


def test_colors_are_the_photos_where_it_shows_the_surface_and_unseen_ones_are_marked(
    drawn: Sampled, seat_photo: Path
) -> None:
    mesh, camera = drawn.shapes[0].mesh, drawn.photo_cameras[:1]
    seen = render_mesh(mesh, camera.cameras(128))
    photo = prepare(seat_photo).rgba
    both = (seen.alpha[0, 0, 0] > 0.99) & (photo[3] > 0.99)
    assert float((seen.rgb[0, 0] - photo[:3]).abs().mean(0)[both].mean()) < 0.05
    share = unseen_share(mesh)
    assert share is not None
    assert 0.3 < share < 0.8
    # The back is unseen, the front mostly seen.
    back = mesh.vertex_normals() @ torch.tensor([0.0, 0.0, 1.0]) < -0.7
    assert float(mesh.attributes[UNSEEN][back].mean()) > 0.95


def test_another_backbones_views_color_what_the_photo_does_not_show(
    drawn: Sampled, seat_photo: Path, model: ImageTo3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The painter's views are those of its sampler at the registered camera; the seen side keeps the photo."""
    painter, plain = Painter(model.sampler), drawn.shapes[0].mesh
    painted = paint([plain], prepare(seat_photo), drawn.photo_cameras[:1], [2], painter, FAST.texture)[0]
    assert torch.equal(plain.vertices, painted.vertices)
    assert torch.equal(plain.attributes[UNSEEN], painted.attributes[UNSEEN])
    cameras = Cameras.orbit([0.0, 180.0], [20.0, 20.0], size=64)
    (front, back), (front2, back2) = (render_mesh(mesh, cameras).rgb[0] for mesh in (plain, painted))
    assert float((front - front2).abs().mean()) < float((back - back2).abs().mean())
    assert float((back - back2).abs().mean()) > 0.02
    given = []
    sampled = EmbeddedSampler.sample

    def spy(self, request, on_step=None):
        given.append(request)
        return sampled(self, request, on_step)

    monkeypatch.setattr(EmbeddedSampler, "sample", spy)
    reference = prepare(seat_photo, size=200)
    camera = PhotoCamera.from_parameters(torch.tensor([[0.4, 0.0, 0.0, -0.2]]))
    paint([plain], reference, camera, [5], painter, FAST.texture)
    assert torch.equal(given[0].conditions.photo_cameras.elevation, camera.elevation)
    assert given[0].reference.size == model.sampler.info.sizes[0]


def test_a_backbone_that_takes_no_camera_cannot_paint() -> None:
    with pytest.raises(InputError, match="seats cannot paint"):
        Painter(seats())


@pytest.fixture(scope="module")
def shape_run(run, folders: dict[str, Path], photo: Path, tmp_path_factory) -> tuple[Path, list]:
    out = tmp_path_factory.mktemp("shape-run") / "out"
    arguments = ["generate", photo, "--backbone", "trellis-coarse", "--weights", folders["trellis-coarse"]]
    arguments += ["--num-hypotheses", 3, "--num-inference-steps", 1, "--output-dir", out, "--json"]
    code, text, error = run(*arguments)
    assert code == 0, error
    assert json.loads(text)["weights"]["backbone"] == "trellis-coarse"
    return out, arguments


@pytest.mark.slow
def test_generate_makes_a_run_like_any_other(shape_run, run, tmp_path: Path) -> None:
    out, _ = shape_run
    store = FolderStore.open(out)
    on_disk = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert on_disk == {*store.manifest["files"], "manifest.json"}
    result = store.load_result()
    assert len(result.hypotheses) == 3
    assert all(UNSEEN in hypothesis.mesh.attributes for hypothesis in result.hypotheses)
    registration = json.loads((out / "views/000/registration.json").read_text())
    assert registration["up"] == "z_up"
    warnings = store.summary["warnings"]
    assert any("fits the photo badly" in text for text in warnings)  # random weights
    assert any("colors of the rest are not observed" in text for text in warnings)
    assert any("have no calibration" in text for text in warnings)
    report = (out / "report.html").read_text("utf-8")
    assert "colors of the rest are not observed" in report
    assert run("next-view", out)[0] == 0
    code, _, error = run("feedback", out, "--keep", "0", "--no-resample", "--output-dir", tmp_path / "judged")
    assert code == 0, error


@pytest.mark.slow
def test_an_interrupted_run_of_shapes_ends_with_the_same_bytes(shape_run, run, tmp_path: Path, monkeypatch) -> None:
    out, arguments = shape_run
    again = tmp_path / "again"
    arguments = [again if value == out else value for value in arguments]
    with monkeypatch.context() as patched:

        def stopped(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(FolderStore, "save_hypotheses", stopped)
        assert run(*arguments)[0] == 130
    assert (again / "views/000/shape.npz").exists()
    sampled = (again / "views/001/views.safetensors").stat().st_mtime_ns
    assert run(*arguments)[0] == 0
    assert (again / "views/001/views.safetensors").stat().st_mtime_ns == sampled
    for k in range(3):
        name = f"hypotheses/{k:03d}.glb"
        assert (again / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--elevation", 10), "cannot be conditioned on a known elevation"),
        (("--candidates", 2), "have no views that could: pass --candidates 1"),
        (("--scheduler", "euler"), "has no such setting: leave out --scheduler"),
        (("--lora", "some.safetensors"), "has no such option: leave out --lora"),
        (("--attention-backend", "flex"), "has no such option: leave out --attention-backend"),
        (("--paint", "triposg"), "The weights of triposg are not on this machine"),
        (("--paint", "nobody"), "There is no backbone 'nobody'"),
    ],
)
def test_what_a_source_of_shapes_cannot_do_is_one_sentence(
    run, folders: dict[str, Path], photo: Path, tmp_path: Path, options: tuple, words: str
) -> None:
    command = ("generate", photo, "--backbone", "trellis-coarse", "--weights", folders["trellis-coarse"])
    code, _, error = run(*command, "--output-dir", tmp_path / "out", *options)
    assert code == 2
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_reconstructors_and_geometry_do_not_go_with_shapes() -> None:
    for reconstructor, geometry, flag in ((True, False, "--reconstructor"), (False, True, "--geometry")):
        with pytest.raises(InputError, match=f"nothing is reconstructed: leave out {flag}"):
            check_shape_options(seats().info, reconstructor, geometry)


def test_enough_hypotheses_are_judged_on_the_shapes_themselves(seat_photo: Path) -> None:
    """All are the same shape, so that the first count suffices."""
    model = ImageTo3D(seats(), FAST)
    even = replace(model.sampler, source=_Even())
    result = replace(model, sampler=even).generate(seat_photo, num_hypotheses="auto", tolerance=0.3)
    assert len(result.hypotheses) == 4


class _Even(Seats):
    """Seats of every seed."""

    def field(self, seed: int, grid: VoxelGrid) -> torch.Tensor:
        return super().field(2 * (seed % 3), grid)
