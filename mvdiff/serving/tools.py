"""The jobs that need no model of views, inside a worker process of their own."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.serving.memory import resident_bytes
from mvdiff.serving.photos import PhotoFolder
from recon.core.errors import InputError
from recon.core.paths import inside
from recon.io.folders import OutputFolder

if TYPE_CHECKING:
    from mvdiff.helpers.selecting import Segmenter
    from mvdiff.serving.worker import Desk


@dataclass
class Tools:
    """The jobs that need no model of views, so that they do not wait for one."""

    desk: "Desk"
    output_dir: Path
    state_dir: Path
    segmenter: Path | None = None
    """Folder of the weights by which a click or a box is followed."""
    _segmenter: "Segmenter | None" = None

    def info(self) -> dict[str, Any]:
        return {"device": "cpu"}

    def memory(self) -> dict[str, int]:
        return {"memory": resident_bytes()}

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        work = {"export": self._export, "select": self._select, "next_view": self._next_view}
        stage = {"export": "export", "select": "select", "next_view": "plan"}[task["kind"]]
        self.desk.progress(stage, 0, 1)
        done = work[task["kind"]](task["id"], task["request"])
        self.desk.progress(stage, 1, 1)
        return done

    def _export(self, job_id: str, request: dict[str, Any]) -> dict[str, Any]:
        """Write one object of a run in another format; several files are packed into one archive."""
        from recon.io.export import FORMATS, PRINTED, export, files_of
        from recon.io.meshes.printing import check_print

        form, item, run = request["format"], request["hypothesis"], inside(self.output_dir, request["run"])
        name = "median" if item is None else f"hypothesis-{item:03d}"
        folder = self.state_dir / "jobs" / job_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if form == "views":
            return {"files": [_pack(folder / f"{name}-views.zip", views_of(run, item)).name]}
        mesh = load_item(run, item)
        path = folder / f"{name}{FORMATS[form][0]}"
        export(mesh, path, form, size_mm=request["size_mm"])
        notes = [check_print(mesh, request["size_mm"]).text()] if form in PRINTED else []
        files = [(each, each.name) for each in files_of(mesh, path, form)]
        packed = path if len(files) == 1 else _pack(folder / f"{name}-{form}.zip", files)
        return {"files": [packed.name], "notes": notes}

    def _select(self, job_id: str, request: dict[str, Any]) -> dict[str, Any]:
        """Replace the matte of a photo by the object at a place."""
        from recon.io.images.selection import Selection

        photo = PhotoFolder.find(self.state_dir, request["photo"])
        point, box = request["point"], request["box"]
        if box is not None:  # dragged in any direction
            box = (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
        place = Selection(None if point is None else (point[0], point[1]), box)
        return {"notes": photo.select(place, self._network())}

    def _network(self) -> "Segmenter | None":
        if self._segmenter is None and self.segmenter is not None:
            from mvdiff.helpers.sam2 import Sam2Segmenter

            self._segmenter = Sam2Segmenter.from_folder(self.segmenter)
        return self._segmenter

    def _next_view(self, job_id: str, request: dict[str, Any]) -> dict[str, Any]:
        """Plan the next photo of a run, as `mvdiff next-view` does."""
        from mvdiff.runs.folder import FolderStore
        from recon.posterior.next_view import next_view

        folder = FolderStore.open(inside(self.output_dir, request["run"]))
        result = folder.load_result()
        meshes = [each.mesh for each in result.hypotheses]
        folder.save_next_view(next_view(meshes, result.posterior.weights, 1), meshes)
        return {}


def views_of(run: Path, item: int) -> list[tuple[Path, str]]:
    """Pictures and cameras of one hypothesis' views, and their names in an archive."""
    files = OutputFolder(run, resumed=True).manifest["files"]
    place = f"views/{item:03d}/"
    names = [each for each in files if each.startswith(place) and not each.endswith(".safetensors")]
    if not names:
        raise InputError(f"The run '{run.name}' has no views of hypothesis {item}.")
    return [(inside(run, name), name.removeprefix(place)) for name in names]


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


def _pack(path: Path, files: list[tuple[Path, str]]) -> Path:
    """An archive of files under the names beside them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, name in files:
            archive.write(file, name)
    return path
