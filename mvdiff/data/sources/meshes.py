"""Meshes of any origin as small colored objects of radius 0.5: files, folders, packs and procedural seeds."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mvdiff.data.render.workers import Workers
from mvdiff.data.sources.packs import MeshPack
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.paths import is_file, is_folder
from recon.io.meshes.atlas import vertex_colors
from recon.io.meshes.files import READABLE, load_mesh
from recon.surface.decimate import decimate_with_index

#: Enough for pictures of 128 pixels, where a face covers about one.
MAX_FACES = 7000


@dataclass(frozen=True)
class MeshSource:
    """A mesh by reference, so that it need not travel between processes."""

    name: str
    index: int
    """In the pack; without a path, the seed of a procedural object."""
    path: str | None = None
    """Path of a mesh pack or of a single mesh file."""
    ambiguous: bool = False
    """Whether a procedural object has an attribute that some photos hide."""

    @property
    def faces_camera(self) -> bool:
        """Photographed from its front alone, where it does not show what it hides: three in four ambiguous objects."""
        return self.ambiguous and self.index % 4 > 0

    def load(self, max_faces: int | None = MAX_FACES) -> TexturedMesh:
        """``max_faces`` holds for files: packs and procedural objects are light as they are."""
        if self.path is None:
            from mvdiff.data.procedural import make, make_ambiguous

            return (make_ambiguous(self.index, self.faces_camera) if self.ambiguous else make(self.index)).mesh
        if self.path.endswith(".npz"):
            return _pack(self.path)[self.index]
        return load_object(self.path, max_faces)


def load_object(path: str | Path, max_faces: int | None = MAX_FACES) -> TexturedMesh:
    """A mesh file as an object of radius 0.5 around the origin, with colors at its vertices, of ``max_faces`` or less.

    ``None`` keeps every face, and the texture. Raises :class:`InputError` for what is no usable mesh.
    """
    mesh = _used_vertices(load_mesh(path))
    if max_faces is not None:
        if mesh.texture is not None:
            mesh = _refined(mesh, max_faces)
        light, source = decimate_with_index(mesh, max_faces)
        colors = vertex_colors(mesh)
        mesh = _used_vertices(replace(light, colors=None if colors is None else colors[source].clamp(0, 1)))
        if len(mesh) == 0:
            raise InputError(f"'{path}' has no surface left at {max_faces} faces: allow more, or leave it out.")
    return mesh.normalized()


def find_meshes(path: str | Path) -> list[MeshSource]:
    """The meshes of a folder (searched to the bottom), of a pack (.npz) or of one file, in the order of their names."""
    path = Path(path)
    if path.suffix.lower() == ".npz":
        return pack_sources(str(path))
    if is_file(path):
        if path.suffix.lower() not in READABLE:
            raise InputError(f"'{path}' is neither a mesh ({', '.join(READABLE)}) nor a mesh pack (.npz).")
        return [MeshSource(path.stem, 0, str(path))]
    if not is_folder(path):
        raise InputError(f"There is no folder of meshes, mesh or mesh pack '{path}': check the path.")
    files = {}
    for file in sorted(file for file in path.rglob("*") if file.suffix.lower() in READABLE and is_file(file)):
        name = file.relative_to(path).with_suffix("").as_posix()
        if name in files:
            raise InputError(f"'{path}' holds '{files[name].name}' beside '{file.name}': rename one of them.")
        files[name] = file
    if not files:
        raise InputError(f"There is no mesh in '{path}': files of {', '.join(READABLE)} are read.")
    return [MeshSource(name, 0, str(file)) for name, file in files.items()]


def is_held_out(number: int, every: int) -> bool:
    """Whether the mesh of this place in its pack is kept from training; ``every`` 1: all of them are."""
    return number % every == every - 1


def find_all(paths: Iterable[str | Path], holdout_every: int = 1) -> list[MeshSource]:
    """The meshes of several places; where there is more than one, names begin with the place's own.

    ``holdout_every``: of each place only those that training with the same value holds out.
    """
    paths = list(paths)
    found = [
        (Path(path), [s for number, s in enumerate(find_meshes(path)) if is_held_out(number, holdout_every)])
        for path in paths
    ]
    if len(paths) > 1:
        found = [
            (
                path,
                [replace(source, name=f"{path.stem}/{source.name}") for source in sources]
                if is_folder(path)
                else sources,
            )
            for path, sources in found
        ]
    sources = [source for _, sources in found for source in sources]
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"Two of the meshes are called '{twice}': rename one of them or its folder.")
    return sources


def pack_sources(path: str) -> list[MeshSource]:
    pack = _pack(path)
    filled = (pack.face_offsets[1:] > pack.face_offsets[:-1]).tolist()
    return [MeshSource(str(name), index, path) for index, name in enumerate(pack.names) if filled[index]]


def procedural_sources(seeds: range, ambiguous: bool = False) -> list[MeshSource]:
    group = "ambiguous" if ambiguous else "procedural"
    return [MeshSource(f"{group}/{seed}", seed, ambiguous=ambiguous) for seed in seeds]


def iter_objects(
    sources: Iterable[MeshSource], max_faces: int = MAX_FACES, workers: int = 0
) -> Iterator[tuple[MeshSource, TexturedMesh | str]]:
    """Each source with its mesh, or with the reason why it cannot be used; in order."""
    with Workers(workers) as pool:
        for source, answer in pool.map(functools.partial(_load, max_faces=max_faces), sources):
            yield source, answer if isinstance(answer, str) else TexturedMesh.from_arrays(*answer)


@functools.lru_cache(maxsize=64)
def _pack(path: str) -> MeshPack:
    return MeshPack.load(path)


def _load(source: MeshSource, max_faces: int) -> tuple | str:
    """Arrays, as a tensor would hold a file descriptor while it travels between processes."""
    try:
        mesh = source.load(max_faces)
    except InputError as error:
        return str(error)
    return tuple(None if x is None else x.numpy() for x in (mesh.vertices, mesh.faces, mesh.colors))


def _used_vertices(mesh: TexturedMesh) -> TexturedMesh:
    """Without vertices of no face, which would count for the object's size."""
    used, index = mesh.faces.unique(return_inverse=True)
    return replace(
        mesh,
        vertices=mesh.vertices[used],
        faces=index.reshape(-1, 3),
        colors=None if mesh.colors is None else mesh.colors[used],
        attributes={name: value[used] for name, value in mesh.attributes.items()},
    )


def _refined(mesh: TexturedMesh, max_faces: int) -> TexturedMesh:
    """Every triangle split into four while that fits: a texture on few faces must not be lost at their corners."""
    mesh = replace(mesh, attributes={})
    while 4 * len(mesh) <= max_faces:
        k, f = len(mesh.vertices), len(mesh)
        edges = torch.stack([mesh.faces, mesh.faces.roll(-1, 1)], -1)  # [f 3 2]: ab, bc, ca
        ends, middle = edges.reshape(-1, 2).sort(-1).values.unique(dim=0, return_inverse=True)
        (a, b, c), (ab, bc, ca) = mesh.faces.unbind(1), (k + middle.reshape(f, 3)).unbind(1)
        faces = torch.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], 1).reshape(-1, 3)
        (ta, tb, tc), (tab, tbc, tca) = mesh.uv.unbind(1), ((mesh.uv + mesh.uv.roll(-1, 1)) / 2).unbind(1)
        uv = torch.stack([ta, tab, tca, tab, tb, tbc, tca, tbc, tc, tab, tbc, tca], 1).reshape(-1, 3, 2)
        mesh = replace(mesh, vertices=torch.cat([mesh.vertices, mesh.vertices[ends].mean(1)]), faces=faces, uv=uv)
    return mesh
