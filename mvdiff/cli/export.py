"""``mvdiff export``: results and meshes in the formats of other programs."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mvdiff.cli.terminal import say
from mvdiff.sampling.settings import check_count
from recon.core.errors import InputError
from recon.core.paths import exists, is_file, is_folder
from recon.core.reading import file_sha256
from recon.io.export import FORMATS, format_of

if TYPE_CHECKING:
    from recon import TexturedMesh

_FORMATS = "; ".join(f"{name}: {what}" for name, (_, _, what) in FORMATS.items())


@dataclass(frozen=True)
class Command:
    """A finished run, a posterior or a mesh in another format."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The folder of a finished run, a posterior.npz, or a mesh (.glb, .gltf, .obj, .ply, .stl, .off, .usd…)."""
    output: Path
    """A file; of a folder, the folder for one file each."""
    format: Annotated[
        str | None, tyro.conf.arg(help=f"Output format; by default the one of the output's suffix. {_FORMATS}.")
    ] = None
    points: int = 100_000
    """Number of points of a point cloud, or of splats."""
    resolution: int = 128
    """Cells along each side of a grid."""
    size_mm: float = 100.0
    """Longest side of a 3D print (stl, 3mf) in millimeters."""
    sh_degree: int = 3
    """Degree of the spherical harmonics in a splat file: 3 as the reference trainer wants it, 0 for small files."""
    overwrite: bool = False
    """Replace what is there."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        check_count("points", self.points, 50_000_000)
        if not 8 <= self.resolution <= 512:
            raise InputError(f"The resolution of a grid lies between 8 and 512, not {self.resolution}.")
        if not 0 <= self.sh_degree <= 3:
            raise InputError(f"The degree of spherical harmonics lies between 0 and 3, not {self.sh_degree}.")
        if not 0 < self.size_mm <= 10_000:
            raise InputError(f"The size of a print lies between 0 and 10000 mm, not {self.size_mm}.")
        if not exists(self.source):
            raise InputError(f"There is nothing at '{self.source}': check the path.")
        many = is_folder(self.source)
        form = format_of(self.format or ("glb" if many and not self.output.suffix else None), self.output)
        written = self._folder(form) if many else self._file(form)
        if self.json:
            print(json.dumps({"format": form, "files": [str(path) for path in written]}))
        else:
            say(", ".join(map(str, written)))

    def _file(self, form: str) -> list[Path]:
        from recon.io.export import files_of

        mesh = _mesh(self.source)
        files = files_of(mesh, self.output, form)
        taken = next((path for path in files if exists(path)), None)
        if taken is not None and is_folder(taken):
            raise InputError(f"The output '{taken}' is a folder, but '{self.source}' is one object: name a file.")
        if taken is not None and not self.overwrite:
            raise InputError(f"'{taken}' is there already: choose another output, or pass --overwrite.")
        self._export(mesh, self.output, form)
        return files

    def _folder(self, form: str) -> list[Path]:
        from recon.io.export import files_of
        from recon.io.folders import OutputFolder

        names = _results(self.source)
        stamps = {name: file_sha256(self.source / name) for name in names}
        inputs = {"verb": "export", "format": form, "points": self.points, "resolution": self.resolution}
        inputs |= {"size_mm": self.size_mm, "sh_degree": self.sh_degree}
        folder = OutputFolder.create(self.output, inputs | {"sources": stamps}, overwrite=self.overwrite)
        written = []
        for name in names:
            mesh, target = _mesh(self.source / name), Path(name).with_suffix(FORMATS[form][0])
            files = files_of(mesh, folder.path / target, form)
            relative = [str(path.relative_to(folder.path)) for path in files]
            if not all(folder.has(path) for path in relative):
                known = folder.manifest["files"]
                folder.update(files=[*known, *(path for path in relative if path not in known)])
                self._export(mesh, folder.path / target, form)
            written += files
        folder.finish()
        return written

    def _export(self, mesh: "TexturedMesh", path: Path, form: str) -> None:
        from recon.io.export import PRINTED, export

        sizes = {"points": self.points, "resolution": self.resolution, "size_mm": self.size_mm}
        export(mesh, path, form, **sizes, sh_degree=self.sh_degree)
        if form in PRINTED:
            from recon.io.meshes.printing import check_print

            print(f"{path}: {check_print(mesh, self.size_mm).text()}", file=sys.stderr)


def _results(folder: Path) -> list[str]:
    """The meshes of a finished run, in the order of their names."""
    from recon.io.meshes.files import READABLE

    manifest = _manifest(folder)
    names = [name for name in manifest["files"] if Path(name).suffix in READABLE and is_file(folder / name)]
    if not names:
        raise InputError(f"The run in '{folder}' has no meshes: give the folder of mvdiff generate or reconstruct.")
    return sorted(names)


def _manifest(folder: Path) -> dict[str, Any]:
    from recon.io.folders import MANIFEST, OutputFolder

    if not is_file(folder / MANIFEST):
        raise InputError(f"'{folder}' is no folder of a run (it has no {MANIFEST}): give one, or a mesh.")
    manifest = OutputFolder(folder, resumed=True).manifest
    if not manifest["complete"]:
        raise InputError(f"The run in '{folder}' is not complete: run its command again to go on.")
    return manifest


def _mesh(path: Path) -> "TexturedMesh":
    if path.suffix == ".npz":
        from recon.posterior import load_posterior

        posterior = load_posterior(path)
        return posterior.median if len(posterior.median) else posterior.representative
    from recon.io.meshes.files import load_mesh

    return load_mesh(path)
