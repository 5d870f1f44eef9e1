"""The jobs that need no model, inside a worker process of their own."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.serving.memory import resident_bytes
from recon.core.errors import InputError
from recon.core.paths import inside
from recon.io.folders import OutputFolder

if TYPE_CHECKING:
    from mvdiff.serving.worker import Desk


@dataclass(frozen=True)
class Exporter:
    """The jobs that need no model, so that they do not wait for one."""

    desk: "Desk"
    output_dir: Path
    state_dir: Path

    def info(self) -> dict[str, Any]:
        return {"device": "cpu"}

    def memory(self) -> dict[str, int]:
        return {"memory": resident_bytes()}

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Write one object of a run in another format; several files are packed into one archive."""
        from recon.io.export import FORMATS, PRINTED, export, files_of
        from recon.io.meshes.printing import check_print

        request = task["request"]
        form, item = request["format"], request["hypothesis"]
        self.desk.progress("export", 0, 1)
        mesh = load_item(inside(self.output_dir, request["run"]), item)
        name = "median" if item is None else f"hypothesis-{item:03d}"
        folder = self.state_dir / "jobs" / task["id"]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = folder / f"{name}{FORMATS[form][0]}"
        export(mesh, path, form, size_mm=request["size_mm"])
        notes = [check_print(mesh, request["size_mm"]).text()] if form in PRINTED else []
        files = files_of(mesh, path, form)
        if len(files) > 1:
            files = [_pack(folder / f"{name}-{form}.zip", files)]
        self.desk.progress("export", 1, 1)
        return {"files": [each.name for each in files], "notes": notes}


def load_item(run: Path, item: int | None) -> Any:
    """One hypothesis of a complete run, or the posterior's median shape."""
    from recon.io.meshes.files import READABLE, load_mesh

    manifest = OutputFolder(run, resumed=True).manifest
    if not manifest["complete"]:
        raise InputError(f"The run '{run.name}' is not complete: wait for its end.")
    stem = "posterior" if item is None else f"hypotheses/{item:03d}"
    names = [each for each in manifest["files"] if Path(each).suffix in READABLE and each.startswith(f"{stem}.")]
    if not names:
        raise InputError(f"The run '{run.name}' has no {'posterior' if item is None else f'hypothesis {item}'}.")
    return load_mesh(inside(run, names[0]))


def _pack(path: Path, files: list[Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return path
