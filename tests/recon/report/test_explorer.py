"""The explorer's data: what the page holds is what the hypotheses are."""

import base64
import gzip
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from explorer_room import room_view, splat_wall

from recon.core.errors import InputError
from recon.core.splats import Splats
from recon.report.explorer import Collider, SceneView, render_explorer, write_explorer
from recon.report.explorer.pack import fog_cells, pack_view, thinned
from recon.report.explorer.write import uncertainty_top
from recon.scenes.grid import SceneGrid


@pytest.fixture(scope="module")
def view() -> SceneView:
    return room_view(splats=splat_wall())


@pytest.fixture(scope="module")
def packed(view):
    header, text = pack_view(view, 4.0)
    data = gzip.decompress(base64.b64decode(text))
    read = {
        name: np.frombuffer(data, np.dtype(part["type"]).newbyteorder("<"), part["length"], part["offset"])
        for name, part in header["sections"].items()
    }
    return header, read


def test_positions_survive_to_a_65535th_of_the_box(view, packed):
    header, read = packed
    low, size = np.array(header["mesh"]["low"]), np.array(header["mesh"]["size"])
    points = low + read["mesh.position"].reshape(-1, 3) / 65535 * size
    assert (np.abs(points - view.mesh.vertices.numpy()) <= size / 65535 / 2 + 1e-6).all()


def test_faces_colors_and_values_survive(view, packed):
    _, read = packed
    assert (np.cumsum(read["mesh.index"]).reshape(-1, 3) == view.mesh.faces.numpy()).all()
    colors = read["mesh.color"].reshape(-1, 4) / 255
    assert np.abs(colors[:, :3] - view.mesh.colors.numpy()).max() <= 0.5 / 255 + 1e-6
    assert (
        np.abs(colors[:, 3] - (view.mesh.attributes["uncertainty"] / 4).clamp(0, 1).numpy()).max() <= 0.5 / 255 + 1e-6
    )
    assert (read["mesh.provenance"] == view.mesh.attributes["provenance"].numpy()).all()


def test_voxels_survive_bit_by_bit(view, packed):
    _, read = packed
    cells = view.collider.occupied.numpy()
    bits = np.unpackbits(read["solid"], bitorder="little")[: cells.size].reshape(cells.shape)
    assert (bits.astype(bool) == cells).all()


def test_splats_survive(view, packed):
    header, read = packed
    record = np.ascontiguousarray(read["splats"].reshape(20, -1).T)
    position = record[:, :6].copy().view("<u2") / 65535 * header["splats"]["size"] + header["splats"]["low"]
    assert np.abs(position - view.splats.position.numpy()).max() < 1e-4
    assert np.abs(record[:, 8:11] / 255 - view.splats.color.numpy()).max() <= 0.5 / 255 + 1e-6
    assert (record[:, 12:16].view(np.int8) == [127, 0, 0, 0]).all()
    low, high = header["splats"]["log_scale"]
    scale = np.exp(low + record[:, 16:19] / 255 * (high - low))
    np.testing.assert_allclose(scale, view.splats.scale.numpy(), rtol=0.01)


def test_splats_take_their_origin_from_the_nearest_surface(view):
    near = replace(view.splats[:2], position=view.mesh.vertices[[5, 900]].clone())
    own = replace(view, splats=near)
    assert own.per_splat("provenance").tolist() == view.mesh.attributes["provenance"][[5, 900]].float().tolist()
    told = replace(own, splat_provenance=torch.tensor([2, 1], dtype=torch.uint8))
    assert told.per_splat("provenance").tolist() == [2, 1]


def test_too_many_splats_are_thinned_and_still_cover_the_same_area():
    splats = splat_wall()
    fewer, kept = thinned(splats, 420)
    assert len(fewer) == 420
    assert (fewer.position == splats.position[kept]).all()
    area = [float(each.scale[:, :2].prod(-1).sum()) for each in (splats, fewer)]
    assert area[1] == pytest.approx(area[0], rel=1e-3)


def test_fog_keeps_clear_of_all_that_is_known():
    unknown = torch.ones(200, 20, 20, dtype=torch.bool)
    unknown[100, 10, 10] = False
    fog, factor = fog_cells(unknown)
    assert factor == 3
    clear = (~fog).nonzero() * factor
    assert (clear <= torch.tensor([102, 12, 12])).all()
    assert (clear + factor > torch.tensor([98, 8, 8])).all()
    assert fog[0, 0, 0]


def test_ramp_ends_at_the_95th_percentile_and_what_is_no_number_is_uncertain(view):
    values = torch.arange(len(view.mesh.vertices)).float()
    values[3] = torch.nan
    odd = replace(view, mesh=replace(view.mesh, attributes={"uncertainty": values}))
    assert uncertainty_top([odd]) == pytest.approx(0.95 * len(values), rel=0.01)
    flat = replace(view, mesh=replace(view.mesh, attributes={"uncertainty": torch.zeros(len(values))}))
    assert uncertainty_top([flat]) == 1.0


def test_page_is_one_file_without_addresses(view, tmp_path):
    file = write_explorer(tmp_path / "explorer.html", [view], title="</script><b>")
    page = file.read_text("utf-8")
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert not re.search(r"https?://|import\(|fetch\(|XMLHttpRequest", page)
    assert "default-src 'none'" in page
    assert "</script><b>" not in page
    assert [each.name for each in tmp_path.iterdir()] == ["explorer.html"]


def test_names_cannot_end_the_script(view):
    page = render_explorer([replace(view, name="</script><script>alert(1)")])
    assert "</script><script>alert(1)" not in page
    data = re.search(r'id="scenes">(.*?)</script>', page).group(1)
    assert json.loads(data)["hypotheses"][0]["name"] == "</script><script>alert(1)"


def test_size_for_300k_splats_and_two_hypotheses():
    """Noise is the worst case: nothing in it can be compressed but the bytes that quantization leaves empty."""
    random = torch.Generator().manual_seed(0)
    noise = lambda *shape: torch.rand(*shape, generator=random)  # noqa: E731
    count = 150_000
    rotation = torch.nn.functional.normalize(noise(count, 4) - 0.5, dim=-1)
    splats = Splats(noise(count, 3), noise(count, 3) + 0.01, rotation, noise(count), noise(count, 3))
    one = render_explorer([room_view(splats=splats)])
    assert 2 * len(one) < 25e6


def test_bad_input_is_told(view):
    with pytest.raises(InputError, match="at least one hypothesis"):
        render_explorer([])
    with pytest.raises(InputError, match="do not fit"):
        Collider(SceneGrid(torch.zeros(3), 0.1, (2, 3, 4)), torch.zeros(4, 3, 2, dtype=torch.bool))
    empty = replace(view.mesh, faces=view.mesh.faces[:0])
    with pytest.raises(InputError, match="nothing was observed"):
        SceneView(empty, view.collider)
