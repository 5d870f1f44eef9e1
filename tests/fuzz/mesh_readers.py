"""A good file of each kind of mesh, and of each file that a mesh names."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

Make = Callable[[Path], Path]
_CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]], np.float32)
_FACES = np.array([[0, 1, 2], [0, 2, 3]], np.uint16)


def _picture(folder: Path) -> Path:
    Image.new("RGB", (4, 4), (200, 10, 10)).save(folder / "t.png")
    return folder / "t.png"


def _gltf(name: str) -> Make:
    """With a texture, vertex colors, a skin of one joint and a morph target."""
    from gltf_files import Gltf

    def make(folder: Path) -> Path:
        _picture(folder)
        file, count = Gltf(), len(_CORNERS)
        data = (folder / "t.png").read_bytes()
        texture = file.texture(data) if name.endswith(".glb") else file.texture(None, "t.png")
        material = file.add("materials", {"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}})
        attributes = {
            "POSITION": file.accessor(_CORNERS),
            "TEXCOORD_0": file.accessor((_CORNERS[:, :2] * 255).astype(np.uint8), True),
            "COLOR_0": file.accessor(np.full((count, 3), 0.5, np.float32)),
            "JOINTS_0": file.accessor(np.zeros((count, 4), np.uint8)),
            "WEIGHTS_0": file.accessor(np.eye(4, dtype=np.float32)[[0] * count]),
        }
        moved = [{"POSITION": file.accessor(_CORNERS * 0.1)}]
        mesh = file.mesh(attributes, _FACES, material=material, targets=moved)
        joint = file.show(translation=[0, 0, 1])
        inverse = file.accessor(np.eye(4, dtype=np.float32).reshape(1, 16))
        file.json["accessors"][inverse]["type"] = "MAT4"
        skin = file.add("skins", {"joints": [joint], "inverseBindMatrices": inverse})
        file.show(mesh=mesh, skin=skin, weights=[0.5])
        return file.save(folder / name)

    return make


def _obj(name: str) -> Make:
    def make(folder: Path) -> Path:
        _picture(folder)
        (folder / "m.mtl").write_text("newmtl a\nKd 1 0.5 0\nmap_Kd -s 1 1 1 t.png\n")
        corners = "".join(f"v {x} {y} {z}\n" for x, y, z in _CORNERS)
        text = f"mtllib m.mtl\n{corners}vt 0 0\nvt 1 0\nvt 1 1\nusemtl a\nf 1/1 2/2 3/3\nf 1 3 4\n"
        (folder / "m.obj").write_text(text)
        return folder / name

    return make


def _ply(form: str) -> Make:
    def make(folder: Path) -> Path:
        head = f"ply\nformat {form} 1.0\nelement vertex 4\n"
        head += "".join(f"property float {n}\n" for n in "xyz") + "property uchar red\nproperty uchar green\n"
        head += "property uchar blue\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n"
        if form == "ascii":
            body = "".join(f"{x} {y} {z} 9 8 7\n" for x, y, z in _CORNERS) + "3 0 1 2\n3 0 2 3\n"
            data = body.encode()
        else:
            data = b"".join(row.astype("<f4").tobytes() + b"\x09\x08\x07" for row in _CORNERS)
            data += b"".join(b"\x03" + row.astype("<i4").tobytes() for row in _FACES)
        (folder / "m.ply").write_bytes(head.encode() + data)
        return folder / "m.ply"

    return make


def _plain(name: str) -> Make:
    def make(folder: Path) -> Path:
        import trimesh

        trimesh.Trimesh(_CORNERS, _FACES, process=False).export(folder / name)
        return folder / name

    return make


_USDA = """#usda 1.0
(
    defaultPrim = "m"
    upAxis = "Y"
)
def Mesh "m" {
    int[] faceVertexCounts = [3, 3]
    int[] faceVertexIndices = [0, 1, 2, 0, 2, 3]
    point3f[] points = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0.5)]
    color3f[] primvars:displayColor = [(1, 0.5, 0)]
}
"""


def _usd(folder: Path) -> Path:
    (folder / "m.usda").write_text(_USDA)
    return folder / "m.usda"


def _read(path: Path) -> object:
    """The mesh of the file, or of the file beside it that names it; what a user is told of missing pictures."""
    from mvdiff.data.sources.named_files import missing_textures, named_files
    from mvdiff.data.sources.packing import gltf_copyright
    from recon.io.meshes.files import load_mesh
    from recon.io.meshes.notes import Notes

    mesh = next((path.parent / f"m{end}" for end in (".obj", ".gltf") if (path.parent / f"m{end}").exists()), path)
    named_files(path), missing_textures(mesh), gltf_copyright(mesh)
    assert torch.isfinite(load_mesh(mesh, Notes()).vertices).all()
    return mesh


def mesh_readers() -> dict[str, tuple[Make, Callable[[Path], object]]]:
    """By the kind of file."""
    import importlib.util

    makers = {
        **{"GLB": _gltf("m.glb"), "glTF": _gltf("m.gltf"), "OBJ": _obj("m.obj"), "MTL": _obj("m.mtl")},
        **{"texture": _obj("t.png"), "PLY text": _ply("ascii"), "PLY binary": _ply("binary_little_endian")},
        **{"STL": _plain("m.stl"), "OFF": _plain("m.off")},
    }
    if importlib.util.find_spec("pxr"):
        makers["USD"] = _usd
    return {name: (make, _read) for name, make in makers.items()}
