"""Jobs beside plain generation: scenes, picked objects, painted views, estimated azimuths, planned photos, choices."""

import zipfile
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from studio_server import StudioServer

from mvdiff.client import Client, ServerError

QUICK = {"num_hypotheses": 2, "num_inference_steps": 2, "candidates": 1, "preset": "fast"}

pytestmark = pytest.mark.slow


def uploaded(client: Client, picture: np.ndarray | bytes) -> dict:
    body = BytesIO(picture) if isinstance(picture, bytes) else BytesIO()
    if not isinstance(picture, bytes):
        Image.fromarray(picture).save(body, "PNG")
    return client.post("/api/photos", dict, files={"photo": ("desk.png", body.getvalue())})


def desk() -> np.ndarray:
    """Two squares, red at the left and blue at the right, on pale paper."""
    rgb = np.full((96, 160, 3), 235, np.uint8)
    rgb[30:70, 20:60], rgb[30:70, 100:140] = (190, 40, 30), (30, 60, 180)
    return rgb


def alpha_of(client: Client, photo: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(client.fetch(f"/api/photos/{photo}/matte")))) / 255


def ended(client: Client, **body) -> dict:
    job = client.post("/api/jobs", dict, json=body)
    list(client.stream(f"/api/jobs/{job['id']}/events"))
    return client.get(f"/api/jobs/{job['id']}", dict)


def test_choices_say_what_they_do_cost_and_need(client: Client, made: str) -> None:
    found = client.get("/api/choices", dict)
    rows = {each["name"]: each for each in found["backbones"]}
    assert rows["embedded"]["available"]
    assert rows["embedded-scene"]["mode"] == "scene"
    assert not rows["zero123plus"]["available"]
    assert "mvdiff models pull zero123plus --accept-license cc-by-nc-4.0" in rows["zero123plus"]["install"]
    assert all(row["license"] and row["does"].endswith(".") for row in rows.values())
    assert {each["name"]: each["available"] for each in found["reconstructors"]} == {"fusion": True, "lrm": False}
    measured = found["seconds"]["embedded"]
    assert measured["jobs"] >= 1
    assert measured["per_step"] > 0
    assert "Measured on this machine" in measured["source"]


@pytest.mark.parametrize(
    ("choice", "part"),
    [
        ({"backbone": "zero123plus"}, "mvdiff models pull zero123plus"),
        ({"backbone": "../etc"}, "no choice"),
        ({"reconstructor": "lrm"}, "--reconstructor-weights"),
        ({"backbone": "embedded-scene"}, 'kind "scene"'),
    ],
)
def test_what_is_not_installed_is_refused_before_it_waits(client: Client, photo: Path, choice: dict, part: str) -> None:
    added = uploaded(client, photo.read_bytes())
    with pytest.raises(ServerError, match=part) as refused:
        client.post("/api/jobs", dict, json={"kind": "generate", "photo": added["id"], **choice})
    assert refused.value.status == 422


def test_a_photo_of_a_place_becomes_scenes_with_an_explorer(client: Client, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    place = generator.integers(0, 255, (96, 128, 3), np.uint8)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26  # a wide lens
    Image.fromarray(place).save(tmp_path / "room.jpg", exif=exif)
    job = client.scene(tmp_path / "room.jpg", num_hypotheses=1, num_inference_steps=2)
    run = job.wait().run
    details = client.get(f"/api/runs/{run}", dict)
    assert (details["verb"], details["page"], details["hypotheses"]) == ("scene", "explorer.html", 0)
    assert client.fetch(f"/runs/{run}/explorer.html").lower().startswith(b"<!doctype html>")
    inputs = client.get(f"/runs/{run}/manifest.json", dict)["inputs"]
    assert inputs["photo"]["fov"] == pytest.approx(2 * np.degrees(np.arctan(96 / 2 / (26 / 43.267 * 160))), abs=0.5)


@pytest.mark.parametrize(
    ("place", "left"),
    [({"point": [40, 50]}, True), ({"point": [120, 50]}, False), ({"box": [150, 80, 90, 20]}, False)],
)
def test_an_object_is_picked_by_a_click_or_a_box(client: Client, place: dict, left: bool) -> None:
    photo = uploaded(client, desk())
    state = ended(client, kind="select", photo=photo["id"], **place)
    assert state["state"] == "done", state["error"]
    alpha = alpha_of(client, photo["id"])
    shown, other = (
        (alpha[35:65, 25:55], alpha[35:65, 105:135]) if left else (alpha[35:65, 105:135], alpha[35:65, 25:55])
    )
    assert shown.mean() > 0.95
    assert other.mean() < 0.05
    record = client.get(f"/api/photos/{photo['id']}", dict)
    assert record["corrected"]
    assert "color and edges" in record["matte"]["method"]


def test_a_click_is_followed_by_the_segmenter_where_one_is_installed(weights: Path, tmp_path: Path) -> None:
    from tiny_helpers import tiny_sam2

    tiny_sam2(tmp_path / "sam2")
    server = StudioServer(tmp_path / "runs", weights, ("--segmenter", str(tmp_path / "sam2"))).start()
    try:
        with Client(server.url) as client:
            assert client.get("/api/choices", dict)["segmenter"] == "sam2"
            photo = uploaded(client, desk())
            state = ended(client, kind="select", photo=photo["id"], point=[40, 50])
            # The weights are random: it finds something by SAM 2, or says by itself that it finds nothing.
            method = client.get(f"/api/photos/{photo['id']}", dict)["matte"]["method"]
            assert "SAM 2" in method if state["state"] == "done" else "the segmenter knows" in state["error"]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("place", "part"),
    [({}, "either a point or a box"), ({"point": [1, 2], "box": [0, 0, 5, 5]}, "either"), ({"point": [1]}, "point")],
)
def test_places_that_are_none_are_refused(client: Client, place: dict, part: str) -> None:
    with pytest.raises(ServerError, match=part):
        client.post("/api/jobs", dict, json={"kind": "select", "photo": "0" * 16, **place})


def test_a_place_outside_of_the_photo_ends_with_a_sentence(client: Client) -> None:
    photo = uploaded(client, desk())
    state = ended(client, kind="select", photo=photo["id"], point=[1000, 5])
    assert state["state"] == "failed"
    assert "outside of the picture" in state["error"]


def test_a_photo_without_an_object_is_no_object(client: Client) -> None:
    photo = uploaded(client, np.full((64, 64, 3), 200, np.uint8))
    assert photo["matte"]["method"] == "none"
    with pytest.raises(ServerError, match="pick the object"):
        client.post("/api/jobs", dict, json={"kind": "generate", "photo": photo["id"], **QUICK})


def test_a_painted_view_is_held(client: Client, server: StudioServer, made: str, tmp_path: Path) -> None:
    name = next(each for each in client.get(f"/api/runs/{made}", dict)["files"] if "views/001/images/002" in each)
    view = Image.open(BytesIO(client.fetch(f"/runs/{made}/{name}"))).convert("RGBA")
    painted = np.array(view)
    painted[8:24, 8:24] = (0, 200, 0, 255)
    Image.fromarray(painted).save(tmp_path / "painted.png")
    state = client.edit(made, 1, 2, tmp_path / "painted.png", num_hypotheses=1, preset="fast").wait()
    inputs = client.get(f"/runs/{state.run}/manifest.json", dict)["inputs"]
    assert inputs["verb"] == "refine"
    assert (inputs["evidence"]["hypothesis"], inputs["evidence"]["view"]) == (1, 2)
    kept = np.asarray(Image.open(server.output_dir / state.run / "evidence.png"))
    assert (kept[10:20, 10:20] == (0, 200, 0, 255)).all()


def test_paintings_that_cannot_be_used_are_refused(client: Client, server: StudioServer, made: str) -> None:
    url = f"{server.url}api/runs/{made}/paintings"
    answer = httpx.post(url, content=b"no picture", headers={"content-type": "image/png"})
    assert answer.status_code == 422
    assert "painted view" in answer.json()["error"]
    assert "/tmp" not in answer.text
    body = {"kind": "edit", "run": made, "hypothesis": 0, "view": 0, "picture": "../../x"}
    with pytest.raises(ServerError, match="send it again"):
        client.post("/api/jobs", dict, json=body)
    with pytest.raises(ServerError, match="no view 99"):
        client.post("/api/jobs", dict, json=body | {"view": 99})


def test_an_azimuth_is_estimated_where_none_is_given(client: Client, made: str, photo: Path) -> None:
    state = client.refine(made, photo, resample=False, preset="fast").wait()
    assert "The azimuth was estimated" in state.notes[0]
    evidence = client.get(f"/runs/{state.run}/manifest.json", dict)["inputs"]["evidence"]
    assert -180 < evidence["azimuth"] <= 180
    assert evidence["azimuth_tolerance"] >= 5


def test_the_next_photo_is_planned(client: Client, made: str) -> None:
    assert ended(client, kind="next_view", run=made)["state"] == "done"
    plan = client.get(f"/api/runs/{made}", dict)["next_view"]
    assert {"azimuth", "elevation"} <= set(plan["views"][0])


def test_views_leave_as_one_archive(client: Client, made: str, tmp_path: Path) -> None:
    (path,) = client.export(made, "views", 1).save(tmp_path)
    names = zipfile.ZipFile(path).namelist()
    assert "transforms.json" in names
    assert sum(each.startswith("images/") for each in names) >= 4
    with pytest.raises(ServerError, match="name a hypothesis"):
        client.export(made, "views")
