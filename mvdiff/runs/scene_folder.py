"""A run of scenes in a folder: written hypothesis by hypothesis, so that an interrupted run can be continued."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image

from mvdiff.runs.files.scene_sheet import scene_sheet
from mvdiff.runs.run_folder import NEXT_VIEW, RunFolder
from mvdiff.runs.scene_path import ScenePath
from mvdiff.runs.scene_result import SceneResult, SceneSample
from mvdiff.sampling.scene_calibrations import SceneStatement
from mvdiff.sampling.scene_camera import SceneCamera
from mvdiff.sampling.scene_photo import ScenePhoto
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from recon.core.errors import InputError
from recon.core.paths import is_file
from recon.core.reading import fit, read_json, reading
from recon.core.views import ViewSet
from recon.io.folders import MANIFEST, atomic_write, write_json
from recon.posterior.scene_storage import save_scene_posterior
from recon.scenes import Scene
from recon.scenes.files.export import SceneExportConfig, export_scene

#: Files of each hypothesis that need no optional package.
FORMATS = ("glb", "ply", "spz", "panorama", "views", "webp")
_EXPORTS = {
    "fast": SceneExportConfig(panorama_height=256, video_frames=24, video_size=128),
    "default": SceneExportConfig(panorama_height=512, video_frames=48, video_size=192),
}
_PHOTO_SIZE = 1024
EXPLORER, POSTERIOR = "explorer.html", "posterior.npz"
_REMEDY = "run the command that made this run again, with --overwrite"


class SceneFolder(RunFolder):
    """A folder of scenes.

    It holds ``manifest.json``, ``photo.webp``, ``views/NNN/``, ``hypotheses/NNN/``, ``explorer.html``,
    ``posterior.npz``, ``summary.json`` and ``sheet.png``.
    """

    verb = "scene"

    def _check_kind(self, path: str | os.PathLike) -> None:
        if "scene" not in self.manifest["inputs"]:
            raise InputError(f"'{path}' holds no scenes: give the output folder of a finished `mvdiff scene`.")

    @property
    def summary(self) -> dict[str, Any]:
        """Contents of ``summary.json`` of a complete run."""
        path = self.path / "summary.json"
        with reading(path, "summary", _REMEDY):
            return read_json(path, dict[str, Any])

    def save_photo(self, photo: ScenePhoto) -> None:
        """Write the part of the photo that is used."""
        if self.output.has("photo.webp"):
            return
        picture = photo.picture()
        picture.thumbnail((_PHOTO_SIZE, _PHOTO_SIZE))
        with self.output.write("photo.webp") as temporary:
            picture.save(temporary, quality=90)

    def copy_photo(self, other: "SceneFolder") -> None:
        """Take over the photo of another run, byte by byte."""
        if not self.output.has("photo.webp"):
            with self.output.write("photo.webp") as temporary:
                temporary.write_bytes((other.path / "photo.webp").read_bytes())

    def save_evidence(self, picture: Image.Image) -> None:
        """Keep the further picture that a refined run is conditioned on."""
        if not self.output.has("evidence.png"):
            picture.thumbnail((_PHOTO_SIZE, _PHOTO_SIZE))
            with self.output.write("evidence.png") as temporary:
                picture.save(temporary)

    def load_sample(self, index: int) -> SceneSample | None:
        """The sample of one hypothesis; None where it was not written whole."""
        record, tensors = _sample_files(index)
        if not (self.output.has(record) and self.output.has(tensors)):
            return None
        with reading(self.path / record, "camera of a photo", _REMEDY):
            values = read_json(self.path / record, _Record)
        return SceneSample(ViewSet.load(self.path / tensors), values.camera, values.notes, values.further_photos)

    def save_sample(self, index: int, sample: SceneSample) -> None:
        record, tensors = _sample_files(index)
        self.output.list_files(record, tensors)
        sample.views.save((self.path / tensors).parent)
        values = {"camera": asdict(sample.camera), "notes": list(sample.notes), "further_photos": sample.further_photos}
        write_json(self.path / record, values)
        self._publish()

    def _noted(self, entry: str, kind: Any) -> dict[str, Any]:
        """An entry of the manifest beside those that every folder has; empty where it is not there."""
        with reading(self.path / MANIFEST, "manifest", _REMEDY):
            return fit(self.manifest.get(entry, {}), kind)

    def has_scene(self, index: int) -> bool:
        """Whether all files of one hypothesis are there."""
        names = self._noted("scenes", dict[str, list[str]]).get(str(index))
        return names is not None and all(self.output.has(name) for name in names)

    def save_scene(self, index: int, scene: Scene, preset: str) -> None:
        """Write one hypothesis' files."""
        written = export_scene(scene, self.path / f"hypotheses/{index:03d}", FORMATS, _EXPORTS[preset])
        names = sorted({str(path.relative_to(self.path)) for path in _with_pictures(written)})
        self.output.list_files(*names)
        self.output.update(scenes=self._noted("scenes", dict[str, list[str]]) | {str(index): names})

    def save_path(self, index: int, path: ScenePath, scene: Scene) -> None:
        """Write the film of a camera path through one hypothesis, and keep why it ended early."""
        film = f"hypotheses/{index:03d}/path.webp"
        obstacle = path.film(scene, self.path / film)
        if is_file(self.path / film):
            self.output.list_files(film)
        ends = self._noted("path_ends", dict[str, str])
        self.output.update(path_ends=ends | ({} if obstacle is None else {str(index): obstacle}))

    def save_explorer(self, write: Callable[[Path], Path]) -> None:
        """Let ``write`` make the page in which all hypotheses are walked through."""
        self.output.list_files(EXPLORER)
        write(self.path / EXPLORER)

    def save_result(self, result: SceneResult, device: str) -> None:
        """Write the files about all hypotheses, and mark the run as complete."""
        self.output.list_files("summary.json", "sheet.png", POSTERIOR)
        save_scene_posterior(result.posterior, self.path / POSTERIOR)
        ends = self.manifest.get("path_ends", {})
        summary = result.summary()
        summary["warnings"] += [f"Hypothesis {index}: {why}" for index, why in ends.items()]
        write_json(self.path / "summary.json", summary)
        with atomic_write(self.path / "sheet.png") as temporary:
            scene_sheet(result.views).save(temporary)
        self.output.finish(device=device, weights=None if result.weights is None else list(result.weights))
        self._publish()

    def photo(self) -> ScenePhoto:
        """The part of the photo that was used, at the size at which it is kept."""
        known = self.manifest["inputs"]["photo"]
        with reading(self.path / "photo.webp", "photo", _REMEDY), Image.open(self.path / "photo.webp") as picture:
            rgb = torch.from_numpy(np.asarray(picture.convert("RGB"), np.float32).copy()).permute(2, 0, 1) / 255
        return ScenePhoto(rgb, known["fov"], known["name"])

    def load_result(self, statement: SceneStatement | None = None) -> SceneResult:
        """The result of a complete run; ``statement`` is the calibration of its model."""
        config = SceneGenerationConfig.from_manifest(self.manifest["inputs"]["scene"])
        samples = [self.load_sample(index) for index in range(config.num_hypotheses)]
        found = tuple(sample for sample in samples if sample is not None)
        if len(found) < config.num_hypotheses:
            raise InputError(f"The run in '{self.path}' lost some of its views: {_REMEDY}.")
        weights = self._noted_weights()
        return SceneResult(self.photo(), config, found, statement=statement or SceneStatement(), weights=weights)

    def _noted_weights(self) -> tuple[float, ...] | None:
        with reading(self.path / MANIFEST, "manifest", _REMEDY):
            return fit(self.manifest.get("weights"), tuple[float, ...] | None)

    def save_next_view(self, record: dict[str, Any], picture: Image.Image) -> None:
        """Write ``next_view.json`` and its map; a run is complete without them."""
        write_json(self.path / NEXT_VIEW[0], record)
        with atomic_write(self.path / NEXT_VIEW[1]) as temporary:
            picture.save(temporary, optimize=True)
        self._publish(*NEXT_VIEW)


class _Record(msgspec.Struct, frozen=True):
    """``camera.json``."""

    camera: SceneCamera
    notes: tuple[str, ...] = ()
    further_photos: int = 0


def _sample_files(index: int) -> tuple[str, str]:
    return f"views/{index:03d}/camera.json", f"views/{index:03d}/views.safetensors"


def _with_pictures(paths: list[Path]) -> list[Path]:
    """The files, and for a transforms.json the pictures that it names."""
    found = list(paths)
    for path in paths:
        if path.name == "transforms.json":
            frames = read_json(path)["frames"]
            found += [path.parent / frame["file_path"] for frame in frames]
    return found
