"""The report parses, stands alone, and shows what the posterior says."""

import base64
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from plotly.offline import get_plotlyjs

from recon.core.cameras import Cameras
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.posterior import Hypothesis, Posterior, PosteriorConfig, VoxelGrid
from recon.posterior.conditioning import uncertainty_record
from recon.report import render_report, write_report
from recon.report.pictures import SIDES, paint, render_sides, scale_of, sections
from recon.surface.decimate import decimate_with_index

VOID = {"meta", "link", "img", "br", "input"}


def hypothesis(offset: float, seed: int) -> Hypothesis:
    body = trimesh.creation.icosphere(4, 0.25)
    knob = trimesh.creation.icosphere(2, 0.08)
    knob.apply_translation([0.28, offset, 0])
    mesh = trimesh.util.concatenate([body, knob])
    colors = np.tile([0.2, 0.5, 0.8], (len(mesh.vertices), 1))
    cameras = Cameras.orbit(torch.tensor([[30.0, 210.0]]), size=16)
    views = ViewSet(torch.rand(1, 2, 3, 16, 16), torch.ones(1, 2, 1, 16, 16), cameras)
    mesh = TexturedMesh.from_arrays(mesh.vertices, mesh.faces, colors)
    return Hypothesis(mesh, seed=seed, elevation=12.0, residual=0.01, views=views)


@pytest.fixture(scope="module")
def hypotheses() -> list[Hypothesis]:
    return [hypothesis(0.05 * k, 70 + k) for k in range(3)]


@pytest.fixture(scope="module")
def posterior(hypotheses: list[Hypothesis]) -> Posterior:
    return Posterior.from_hypotheses(hypotheses, PosteriorConfig(grid=32, samples=256))


@pytest.fixture(scope="module")
def page(posterior: Posterior, hypotheses: list[Hypothesis]) -> str:
    return render_report(
        posterior,
        hypotheses,
        photos={"A <b>photo</b>": Image.new("RGBA", (40, 30), (200, 0, 0, 255))},
        title="mug & </script><script>alert(1)</script>",
        settings={"guidance_scale": 2.0, "text": "<i>"},
        provenance={"sha256": "ab" * 32},
    )


class Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_element_is_closed(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []


def test_nothing_is_fetched(page: str) -> None:
    own = page.replace(get_plotlyjs(), "")
    assert "http:" not in own
    assert "https:" not in own
    outline = Outline()
    outline.feed(page)
    for _, attributes in outline.elements:
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    # The browser itself is told to fetch nothing.
    policy = next(a["content"] for tag, a in outline.elements if tag == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


def test_texts_of_users_stay_texts(page: str) -> None:
    assert "<script>alert" not in page
    assert "A &lt;b&gt;photo" in page
    assert "&lt;i&gt;" in page


def test_pictures_decode(page: str, hypotheses: list[Hypothesis]) -> None:
    uris = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    sizes = [Image.open(io.BytesIO(base64.b64decode(uri))).convert("RGBA").size for uri in uris]
    # Photo, spread, modes, gallery, three pairs of sections, two views of three maps.
    assert len(sizes) >= 1 + 1 + 1 + len(hypotheses) + 6 + 6
    assert sizes[0] == (40, 30)


def test_it_says_what_the_posterior_says(page: str, posterior: Posterior) -> None:
    assert f"{posterior.ambiguity:.0%}" in page
    assert "Not calibrated" in page
    assert all(f"<td>{seed}</td>" in page for seed in posterior.seeds)
    assert "ab" * 32 in page
    assert "prefers-color-scheme: dark" in page


def data_of(page: str, name: str) -> dict:
    pattern = f'<script id="{name}" type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, page, re.DOTALL).group(1))


def test_the_scenes_are_plotly_s(page: str, hypotheses: list[Hypothesis]) -> None:
    import plotly.graph_objects as go

    scene = data_of(page, "scene-data")
    assert len(scene["labels"]) == len(scene["traces"])
    figure = go.Figure(scene["traces"])  # validates every property
    assert [trace.visible for trace in figure.data] == [True] + [False] * (len(scene["traces"]) - 1)
    linked = data_of(page, "linked-data")
    assert linked["labels"] == ["#0 · 33%", "#1 · 33%", "#2 · 33%"]
    assert len(go.Figure(linked["traces"]).data) == len(hypotheses)
    trace, spread = linked["traces"][-1], linked["spreads"][-1]
    x = np.frombuffer(base64.b64decode(trace["x"]["bdata"]), "<f4")
    i = np.frombuffer(base64.b64decode(trace["i"]["bdata"]), "<u2")
    assert x.max() == pytest.approx(0.36, abs=0.01)
    assert i.max() < len(x) == len(trace["vertexcolor"]) == len(spread)
    assert trace["vertexcolor"][0] == "#3380cc"
    assert len(set(spread)) > 3


def test_the_slider_s_volume_is_the_probability(page: str, posterior: Posterior) -> None:
    volume = data_of(page, "volume-data")
    size = volume["size"]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(volume["probability"].partition(",")[2]))).convert("L"))
    across = sheet.shape[1] // size
    x, y, z = 13, 17, 20
    row, column = divmod(z, across)
    for cell in ((x, y, z), (size // 2, size // 2, z)):
        value = sheet[row * size + cell[1], column * size + cell[0]] / 255
        assert value == pytest.approx(float(posterior.probability[cell]), abs=1 / 254)
    assert np.abs(sheet.astype(float).sum() / 255 - float(posterior.probability.sum())) < 20


def test_it_says_whether_the_hypotheses_are_enough(page: str, posterior: Posterior) -> None:
    import plotly.graph_objects as go

    error, ambiguity = go.Figure(data_of(page, "convergence-data")).data  # validates every property
    steps = posterior.convergence
    assert list(error.x) == list(ambiguity.x) == [2, 3]
    assert error.y == pytest.approx([step.occupancy_error for step in steps])
    assert ambiguity.y == pytest.approx([step.ambiguity for step in steps])
    assert ambiguity.error_y.array == pytest.approx([step.ambiguity_error for step in steps])
    assert f"After 3 hypotheses the share that fills a place is known to ± {steps[-1].occupancy_error:.2f} " in page
    assert "They cannot tell whether the model itself is right." in page


def test_the_next_photo_is_on_the_page(page: str, hypotheses: list[Hypothesis]) -> None:
    assert "The best next photo" in page
    assert page.count("class=chosen") == 3
    assert "Where the uncertainty comes from" in page


def test_a_refined_run_says_what_changed(posterior: Posterior, hypotheses: list[Hypothesis], page: str) -> None:
    before = uncertainty_record(posterior) | {"ambiguity": 0.875}
    refined = render_report(
        posterior,
        hypotheses,
        novelty={"p_value": 0.013},
        change={
            "before": before,
            "reweighted": uncertainty_record(replace(posterior, weights=torch.tensor([0.98, 0.01, 0.01]))),
        },
    )
    assert "What the further evidence changed" in refined
    assert "<td>Before</td><td>3.0</td><td>1.58</td><td>88%</td>" in refined
    assert "<td>1.0</td>" in refined
    assert "p = 0.013" in refined
    assert "and further evidence." in refined
    assert "What the further evidence changed" not in page


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


#: Turns the second hypothesis once everything is drawn, and writes down from where each is then seen.
TURNED = """<script>
const wait = setInterval(() => {
  if (!document.body.hasAttribute("data-ready")) return;
  clearInterval(wait);
  const linked = document.getElementById("linked");
  Plotly.relayout(linked, { "scene2.camera": { eye: { x: -1.5, y: 0.25, z: -1 }, up: { x: 0, y: 1, z: 0 } } });
  setTimeout(() => {
    const eyes = ["scene", "scene2", "scene3"].map(name => linked._fullLayout[name].camera.eye.x);
    document.body.setAttribute("data-eyes", eyes.join(" "));
    document.body.setAttribute("data-curves", document.querySelectorAll("#convergence .scatterlayer .trace").length);
  }, 1500);
}, 100);
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
@pytest.mark.timeout(300)
def test_a_browser_draws_it_without_an_error(page: str, tmp_path) -> None:
    """The page forbids all requests by its policy, and a browser logs what it forbids: no line, no request."""
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", TURNED), "utf-8")
    flags = (
        "--headless --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --disable-background-networking"
    )
    logging = f"--enable-logging=stderr --user-data-dir={tmp_path / 'profile'} --virtual-time-budget=20000 --dump-dom"
    command = [CHROMIUM, *flags.split(), *logging.split(), path.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=280, check=True)
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not [line for line in messages if "Canvas2D: Multiple readback" not in line], messages
    assert 'data-ready="true"' in done.stdout
    assert 'data-eyes="-1.5 -1.5 -1.5"' in done.stdout  # turned together
    assert 'data-curves="2"' in done.stdout


def test_sides_are_seen_from_where_they_say() -> None:
    """An object with a red knob on +X: right in the front picture, facing in the right one, left from behind."""
    knob = trimesh.creation.icosphere(2, 0.1)
    knob.apply_translation([0.3, -0.1, 0])
    body = trimesh.creation.icosphere(3, 0.2)
    colors = np.repeat([[1.0, 0, 0], [0, 0, 1.0]], [len(knob.vertices), len(body.vertices)], axis=0)
    mesh = trimesh.util.concatenate([knob, body])
    pictures = render_sides(TexturedMesh.from_arrays(mesh.vertices, mesh.faces, colors), size=64)
    centers = {}
    for side, picture in zip(SIDES, pictures, strict=True):
        rows, columns = np.nonzero((picture[..., 0] > 90) & (picture[..., 2] < 60) & (picture[..., 3] > 200))
        centers[side] = (rows.mean(), columns.mean()) if len(rows) > 5 else None
    assert centers["front"][1] > 40
    assert centers["front"][0] > 32
    assert abs(centers["right"][1] - 31.5) < 3
    assert centers["back"][1] < 24
    assert centers["left"] is None


def test_sections_are_upright() -> None:
    """A small ball at +x, +y, +z of the cube's center lies where each section says it is seen from."""
    grid = VoxelGrid(torch.zeros(3), 0.5, 32)
    center = torch.tensor([0.25, 0.2, 0.15])
    base = Posterior.from_hypotheses([hypothesis(0.0, 0), hypothesis(0.1, 1)], PosteriorConfig(grid=32, samples=64))
    radii = torch.tensor([0.1, 0.15])[:, None, None, None]
    fields = (grid.points() - center).norm(dim=-1)[None] - radii
    expected = {
        "seen from the front": (True, True),
        "seen from the right": (False, True),
        "seen from above": (True, False),
    }
    for name, probability, _ in sections(replace(base, grid=grid, fields=fields)):
        picture = Image.open(io.BytesIO(base64.b64decode(probability.partition(",")[2]))).convert("RGBA")
        rows, columns = np.nonzero(np.asarray(picture)[..., 3] > 128)
        middle = picture.width / 2
        assert (columns.mean() > middle, rows.mean() < middle) == expected[name]


def test_the_ramp_does_not_cry_wolf(posterior: Posterior) -> None:
    still = replace(
        posterior.representative,
        attributes={"uncertainty": torch.full((len(posterior.representative.vertices),), 1e-4)},
    )
    blue = paint(still).colors
    assert (blue[:, 2] > blue[:, 0]).all()
    assert scale_of(torch.zeros(5)) > 0


def test_decimation_keeps_the_shape() -> None:
    sphere = trimesh.creation.icosphere(5, 0.5)
    mesh = TexturedMesh.from_arrays(sphere.vertices, sphere.faces)
    light, source = decimate_with_index(mesh, 1000)
    assert len(light) <= 1000
    assert (light.vertices.norm(dim=-1) - 0.5).abs().max() < 0.01
    assert (mesh.vertices[source] - light.vertices).norm(dim=-1).max() < 0.03


def test_one_hypothesis_states_no_agreement(hypotheses: list[Hypothesis]) -> None:
    plain = replace(hypotheses[0], mesh=replace(hypotheses[0].mesh, colors=None), views=None, elevation=None)
    page = render_report(Posterior.from_hypotheses([plain], PosteriorConfig(grid=32, samples=64)), [plain])
    assert "says nothing about uncertainty" in page
    assert "<b>–</b><span>ambiguity" in page
    assert "1 plausible object for" in page
    assert "Are these hypotheses enough" not in page
    assert data_of(page, "convergence-data")[0]["x"] == []


def test_the_number_of_threads_changes_nothing(posterior: Posterior, hypotheses: list[Hypothesis]) -> None:
    threads, pages = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            pages.append(render_report(posterior, hypotheses))
    finally:
        torch.set_num_threads(threads)
    assert pages[0] == pages[1]


def test_it_is_written_whole(tmp_path, posterior: Posterior, hypotheses: list[Hypothesis]) -> None:
    path = write_report(tmp_path / "report.html", posterior, hypotheses)
    assert path.read_text("utf-8").rstrip().endswith("</html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(ValueError, match="not of these 1"):
        write_report(tmp_path / "other.html", posterior, hypotheses[:1])
    assert not (tmp_path / "other.html").exists()
