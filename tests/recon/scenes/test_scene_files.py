"""Files of a scene without symmetry, read back by other libraries: axes, meters, names and cameras."""

import json
import math
import struct

import numpy as np
import pytest
import torch
import trimesh
from furnished_room import HIGH, LOW, Room, room
from PIL import Image

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.panorama import load_panorama, save_panorama
from recon.io.splats import load_spz
from recon.scenes.files import export_scene, save_fly_through, save_scene_glb, save_scene_usd
from recon.scenes.files.export import SceneExportConfig
from recon.scenes.files.video import fly_through, look_around
from recon.scenes.mesh import SceneMeshConfig
from recon.scenes.scene import Scene, SceneConfig, build_scene


@pytest.fixture(scope="module")
def small() -> Room:
    return room(64)


@pytest.fixture(scope="module")
def scene(small: Room) -> Scene:
    mesh = SceneMeshConfig(faces=6_000, collider_faces=1_500)
    return build_scene(small.views, metres=small.metres, config=SceneConfig(cells=120_000, sky_height=64, mesh=mesh))


def document(path) -> dict:
    raw = path.read_bytes()
    return json.loads(raw[20 : 20 + struct.unpack_from("<I", raw, 12)[0]])


def accessor(path, index: int) -> np.ndarray:
    """Values of a float accessor, by the layout that the glTF specification gives."""
    raw, doc = path.read_bytes(), document(path)
    entry = doc["accessors"][index]
    start = 28 + struct.unpack_from("<I", raw, 12)[0] + doc["bufferViews"][entry["bufferView"]]["byteOffset"]
    columns = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[entry["type"]]
    return np.frombuffer(raw, "<f4", entry["count"] * columns, start).reshape(-1, columns)


def red_cupboard(vertices: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Middle of what is red: it stands at +X, -Z, on the floor."""
    red = (colors[:, 0] > 0.6) & (colors[:, 1] < 0.35) & (colors[:, 2] < 0.35)
    return vertices[red].mean(0)


def test_glb_is_in_metres_upright_and_not_mirrored(scene, tmp_path):
    path = save_scene_glb(scene, tmp_path / "a.glb")
    loaded = trimesh.load_scene(path)
    low, high = loaded.geometry["scene"].bounds
    np.testing.assert_allclose(low, LOW, atol=0.3)
    np.testing.assert_allclose(high, HIGH, atol=0.15)
    colors = loaded.geometry["scene"].visual.to_color().vertex_colors[:, :3] / 255
    middle = red_cupboard(np.asarray(loaded.geometry["scene"].vertices), colors)
    assert middle[0] > 1.3
    assert middle[1] < 0.0
    assert middle[2] < -2.0
    np.testing.assert_allclose(loaded.geometry["splats"].bounds[0], LOW, atol=0.3)
    collider = loaded.geometry["scene_collider"]
    np.testing.assert_allclose(collider.bounds[1], HIGH, atol=0.15)
    assert np.linalg.norm(loaded.geometry["sky"].vertices, axis=1).min() > 5


def test_glb_splats_follow_the_extension(scene, tmp_path):
    path = save_scene_glb(scene, tmp_path / "a.glb")
    doc = document(path)
    assert doc["extensionsUsed"] == ["KHR_gaussian_splatting", "KHR_materials_unlit"]
    primitive = next(m for m in doc["meshes"] if m["name"] == "splats")["primitives"][0]
    assert primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"] == {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
    }
    read = {name.split(":")[-1]: accessor(path, index) for name, index in primitive["attributes"].items()}
    splats = scene.splats
    np.testing.assert_allclose(read["POSITION"], splats.position * scene.metres, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(read["SCALE"], splats.scale * scene.metres, rtol=1e-4)
    np.testing.assert_allclose(read["ROTATION"], splats.rotation.roll(-1, -1), atol=1e-5)
    np.testing.assert_allclose(read["OPACITY"][:, 0], splats.opacity, atol=1e-6)
    np.testing.assert_allclose(0.5 + 0.28209479 * read["SH_DEGREE_0_COEF_0"], splats.color, atol=1e-5)


def test_glb_cameras_look_where_the_views_do(scene, small, tmp_path):
    doc = document(save_scene_glb(scene, tmp_path / "a.glb"))
    nodes = {node["name"]: node for node in doc["nodes"]}
    photo = np.array(nodes["photo_camera"]["matrix"]).reshape(4, 4).T
    np.testing.assert_allclose(photo, np.eye(4), atol=1e-6)  # at the origin, along -Z, +Y up
    lens = doc["cameras"][nodes["photo_camera"]["camera"]]["perspective"]
    assert lens["yfov"] == pytest.approx(math.radians(75))
    assert lens["aspectRatio"] == pytest.approx(1)
    second = np.array(nodes["view_002"]["matrix"]).reshape(4, 4).T
    np.testing.assert_allclose(-second[:3, 2], small.views.cameras.c2w[0, 2, :3, 2], atol=1e-6)
    spawn = nodes["spawn"]["translation"]
    assert spawn[1] == pytest.approx(-1.5, abs=0.1)


def test_collision_is_named_as_each_engine_expects(scene, tmp_path):
    plain = document(save_scene_glb(scene, tmp_path / "a.glb"))
    names = [[plain["nodes"][i]["name"] for i in entry["nodes"]] for entry in plain["scenes"]]
    assert names[1] == ["scene_collider", "floor"]
    assert not set(names[0]) & set(names[1])
    godot = document(save_scene_glb(scene, tmp_path / "b.glb", "godot"))
    assert len(godot["scenes"]) == 1
    assert "scene_collider-colonly" in {node["name"] for node in godot["nodes"]}
    path = save_scene_glb(scene, tmp_path / "c.glb", "unreal")
    hulls = [name for name in trimesh.load_scene(path).geometry if name.startswith("UCX_scene_")]
    assert "UCX_scene_00" in hulls
    loaded = trimesh.load_scene(path)
    assert all(loaded.geometry[name].is_convex for name in hulls[:20])
    assert not any(loaded.geometry[name].contains([[0.0, 0.0, 0.0]])[0] for name in hulls)  # the room is not filled


def test_usd_holds_splats_collision_and_cameras(scene, small, tmp_path):
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom, UsdPhysics, UsdShade

    stage = Usd.Stage.Open(str(save_scene_usd(scene, tmp_path / "a.usdz")))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    points = np.array(UsdGeom.Mesh(stage.GetPrimAtPath("/scene/surface")).GetPointsAttr().Get())
    np.testing.assert_allclose(points.min(0), LOW, atol=0.3)
    np.testing.assert_allclose(points.max(0), HIGH, atol=0.15)
    proxy = stage.GetPrimAtPath("/scene/collider")
    assert proxy.HasAPI(UsdPhysics.CollisionAPI)
    assert UsdPhysics.MeshCollisionAPI(proxy).GetApproximationAttr().Get() == "none"
    assert UsdGeom.Imageable(proxy).ComputeVisibility() == "invisible"
    splats = stage.GetPrimAtPath("/scene/splats")
    assert splats.GetTypeName() == "ParticleField3DGaussianSplat"
    turn = splats.GetAttribute("orientations").Get()[5]
    assert [turn.GetReal(), *turn.GetImaginary()] == pytest.approx(scene.splats.rotation[5].tolist(), abs=1e-5)
    np.testing.assert_allclose(splats.GetAttribute("positions").Get(), scene.splats.position * small.metres, atol=1e-5)
    np.testing.assert_allclose(splats.GetAttribute("scales").Get(), scene.splats.scale * small.metres, rtol=1e-4)
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/scene/photo_camera")).GetCamera(Usd.TimeCode.Default())
    assert camera.GetFieldOfView(camera.FOVVertical) == pytest.approx(75, abs=1e-3)
    second = UsdGeom.Camera(stage.GetPrimAtPath("/scene/view_002")).GetCamera(Usd.TimeCode.Default())
    ahead = np.array(second.frustum.ComputeViewDirection())
    np.testing.assert_allclose(ahead, small.views.cameras.c2w[0, 2, :3, 2], atol=1e-6)
    texture = UsdShade.Shader(stage.GetPrimAtPath("/scene/appearance/color")).GetInput("file").Get()
    assert texture.resolvedPath  # inside the package
    with pytest.raises(InputError, match=r"packed as \.usdz"):
        save_scene_usd(scene, tmp_path / "a.usd")


def test_all_files_of_a_scene(scene, small, tmp_path):
    formats = ["ply", "spz", "points", "panorama", "views", "webp"]
    config = SceneExportConfig(panorama_height=128, video_frames=4, video_size=48)
    files = export_scene(scene, tmp_path, formats, config)
    assert all(path.is_file() for path in files)
    splats = load_spz(tmp_path / "splats.spz")
    assert (splats.position - scene.splats.position * scene.metres).abs().max() < 1e-3
    cloud = trimesh.load(tmp_path / "points.ply")
    np.testing.assert_allclose(cloud.vertices.min(0), LOW, atol=0.3)
    assert b"axes: right-handed, +X right, +Y up" in (tmp_path / "points.ply").read_bytes()[:300]
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    assert len(frames) == 9
    third = np.array(frames[3]["transform_matrix"])  # OpenGL cameras look along their -Z
    np.testing.assert_allclose(-third[:3, 2], small.views.cameras.c2w[0, 3, :3, 2], atol=1e-6)
    depth = np.asarray(Image.open(tmp_path / "depth/000.png"))
    np.testing.assert_allclose(depth / 1000, small.views.depth[0, 0, 0] * small.metres, atol=6e-4)
    normal = np.asarray(Image.open(tmp_path / "normal/004.png")) / 127.5 - 1
    np.testing.assert_allclose(normal, small.views.normal[0, 4].permute(1, 2, 0), atol=5e-3)
    panorama = load_panorama(tmp_path / "panorama.png")
    yaw = math.atan2(2.25, 2.6)  # the cupboard stands to the right of the middle, a little below the horizon
    red = panorama[:, 70, round(128 + yaw / (2 * math.pi) * 256)]
    assert red[0] > 0.5 > red[1] + 0.1
    with pytest.raises(InputError, match="no format of scenes"):
        export_scene(scene, tmp_path, ["fbx"])


def test_the_fly_through_begins_with_the_photo(scene, small, tmp_path):
    cameras = look_around(6, 64, fov=75.0)
    frames = fly_through(scene, cameras)
    photo = small.views.rgb[0, 0].permute(1, 2, 0).numpy()
    assert np.abs(frames[0] / 255 - photo).mean() < 0.05
    path = save_fly_through(scene, cameras, tmp_path / "a.webp", 12.0)
    with Image.open(path) as film:
        assert film.n_frames == 6
        assert film.size == (64, 64)
    with pytest.raises(InputError, match=r"\.webp or \.mp4"):
        save_fly_through(scene, cameras, tmp_path / "a.gif")
    with pytest.raises(InputError, match="at least one"):
        save_fly_through(scene, cameras[:0], tmp_path / "b.webp")


def test_the_fly_through_as_mp4(scene, tmp_path):
    av = pytest.importorskip("av")
    path = save_fly_through(scene, look_around(5, 64), tmp_path / "a.mp4")
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 5


def test_a_scene_without_sky_floor_or_splats_is_written(scene, tmp_path):
    nothing = TexturedMesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    from dataclasses import replace

    floor = replace(scene.floor, mesh=nothing, cells=scene.floor.cells[:0], spawn=None)
    bare = replace(scene, sky=None, splats=scene.splats[:0], collider=nothing, floor=floor)
    doc = document(save_scene_glb(bare, tmp_path / "a.glb"))
    assert [entry["name"] for entry in doc["scenes"]] == ["scene"]


def test_panoramas_keep_their_shape(tmp_path):
    image = torch.rand(3, 32, 64)
    back = load_panorama(save_panorama(image, tmp_path / "a.png"))
    assert (back - image).abs().max() <= 0.5 / 255 + 1e-6
    save_panorama(torch.rand(3, 32, 50), tmp_path / "b.png")
    with pytest.raises(InputError, match="twice as wide as high"):
        load_panorama(tmp_path / "b.png")
    (tmp_path / "c.png").write_text("text")
    with pytest.raises(InputError, match="is not a picture"):
        load_panorama(tmp_path / "c.png")
