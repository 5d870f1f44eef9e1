"""Meshes of any origin and the photo of their object to a run: registered, weighted, with posterior and report."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import mvdiff
from mvdiff.helpers.dinov2 import features_record
from mvdiff.runs.coloring import Coloring
from mvdiff.runs.folder import FolderStore
from mvdiff.runs.placed_shapes import unseen_notes
from mvdiff.runs.result import GenerationResult
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.rig import DEFAULT_RIG
from mvdiff.sampling.sampler import Sampled
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.paths import is_file, is_folder, natural_key
from recon.core.reading import file_sha256
from recon.core.views import ViewSet
from recon.io.folders import write_json
from recon.io.meshes.files import READABLE, load_mesh
from recon.io.meshes.notes import Notes
from recon.ops.parallel import in_threads
from recon.posterior import Hypothesis, Posterior, PosteriorConfig
from recon.posterior.from_meshes import MeshHypotheses, hypotheses_of_meshes
from recon.registration import FrameChoice
from recon.registration.matching import Encoder
from recon.rendering import render_mesh

REGISTRATION = "registration.json"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class OwnMeshes:
    """Meshes of one object, and the photo that they are to explain."""

    paths: tuple[Path, ...]
    meshes: tuple[TexturedMesh, ...]
    notes: tuple[str, ...]
    """Contents of the files that the meshes do not show."""
    reference: ReferenceImage
    photo: Path
    frame: FrameChoice = "auto"
    config: GenerationConfig = field(default_factory=GenerationConfig)
    """Its ``weighting``, ``coverage``, ``matting`` and ``format`` count."""
    posterior: PosteriorConfig = field(default_factory=PosteriorConfig)
    coloring: Coloring = field(default_factory=Coloring)
    encoder: Encoder | None = None
    """Features that registration compares beside silhouettes and colors."""

    @staticmethod
    def read(paths: Sequence[Path], photo: Path, frame: FrameChoice, config: GenerationConfig) -> "OwnMeshes":
        """Read the files; a folder stands for the meshes in it, in the order of their names.

        Raises:
            InputError: A file cannot be read, or the photo shows no object.
        """
        paths = find_meshes(paths)
        notes = [Notes() for _ in paths]
        meshes = [load_mesh(path, own) for path, own in zip(paths, notes, strict=True)]
        told = [f"'{p}' is not read in full: {n.text()}." for p, n in zip(paths, notes, strict=True) if n.text()]
        reference = prepare(photo, matting=config.matting)
        config = replace(config, num_hypotheses=len(paths))
        config.check()
        return OwnMeshes(tuple(paths), tuple(meshes), tuple(told), reference, photo, frame, config)

    @property
    def names(self) -> list[str]:
        """File names, with their folders where two are alike."""
        short = [path.name for path in self.paths]
        return short if len(set(short)) == len(short) else [str(path) for path in self.paths]

    def inputs(self) -> dict[str, Any]:
        """All that the results depend on, for the manifest."""
        return {
            "verb": "posterior",
            "version": mvdiff.__version__,
            "photo": {
                "name": self.photo.name,
                "sha256": hashlib.sha256(self.reference.picture().tobytes()).hexdigest(),
            },
            "weights": {},
            "meshes": [{"name": n, "sha256": file_sha256(p)} for n, p in zip(self.names, self.paths, strict=True)],
            "frame": self.frame,
            "config": asdict(self.config),
            "posterior": asdict(self.posterior),
            "calibration": None,
            **self.coloring.record,
            **features_record(self.encoder),
        }

    def run(
        self, output_dir: str | os.PathLike, overwrite: bool = False, progress: Progress | None = None
    ) -> GenerationResult:
        """Register the meshes, infer their posterior and fill the folder of a run.

        Raises:
            InputError: No mesh fits the photo, or the folder holds something else.
        """
        progress = progress or _no_progress
        # Before anything is written or replaced, unless the folder may hold this very run.
        registered = None if _holds_files(output_dir) and not overwrite else self._register(progress)
        store = FolderStore.create(output_dir, self.inputs(), overwrite)
        if store.complete:
            return store.load_result()
        registered = registered or self._register(progress)
        store.save_photo(self.reference, self.photo)
        hypotheses, sampled = self._with_views(registered)
        store.save_samples({k: Sampled(sampled.views[k], sampled.photo_cameras[[k]]) for k in range(len(hypotheses))})
        self._save_registration(store, registered)
        progress("posterior", 0, 1)
        posterior = Posterior.from_hypotheses(hypotheses, replace(self.posterior, coverage=self.config.coverage))
        # What puts all the rest in question comes first.
        told = (*registered.warnings, *posterior.warnings, *unseen_notes([h.mesh for h in hypotheses]), *self.notes)
        posterior = replace(posterior, warnings=told)
        result = GenerationResult(self.reference, sampled.views, sampled.photo_cameras, tuple(hypotheses), posterior)
        progress("write", 0, 1)
        store.save_result(result, "cpu")
        progress("write", 1, 1)
        return result

    def _register(self, progress: Progress) -> MeshHypotheses:
        total = len(self.meshes)
        progress("register", 0, total)
        return hypotheses_of_meshes(
            self.meshes,
            self.reference.rgba,
            self.frame,
            self.names,
            self.config.weighting,
            encoder=self.encoder,
            done=lambda ready: progress("register", ready, total),
        )

    def _with_views(self, registered: MeshHypotheses) -> tuple[list[Hypothesis], Sampled]:
        """The hypotheses with views by the rig of sampled ones, so that all that reads a run finds the same."""
        photo_cameras = registered.placed.cameras
        meshes = self.coloring.of(registered.placed.meshes, self.reference, photo_cameras)
        cameras = DEFAULT_RIG.cameras(photo_cameras.elevation)
        views = in_threads(lambda k: render_mesh(meshes[k], cameras[k]), range(len(meshes)))
        made = zip(registered.hypotheses, meshes, views, strict=True)
        hypotheses = [replace(hypothesis, mesh=mesh, views=own) for hypothesis, mesh, own in made]
        return hypotheses, Sampled(ViewSet.cat(views).rounded(), photo_cameras)

    def _save_registration(self, store: FolderStore, registered: MeshHypotheses) -> None:
        found = registered.placed.registrations
        entries = [{"mesh": n} | r.to_dict() for n, r in zip(self.names, found, strict=True)]
        store.output.list_files(REGISTRATION)
        write_json(store.path / REGISTRATION, {"frame": self.frame, "meshes": entries})


def find_meshes(paths: Sequence[Path]) -> list[Path]:
    """The given files, and the meshes of given folders in the order of their names.

    Raises:
        InputError: There is none, or a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if not is_folder(path):
            found.append(path)
            continue
        inside = (p for p in path.iterdir() if p.suffix.lower() in READABLE and not p.name.startswith("."))
        meshes = sorted(inside, key=natural_key)
        if not meshes:
            raise InputError(
                f"The folder '{path}' holds no meshes ({', '.join(READABLE)}): name files or another folder."
            )
        found += meshes
    if not found:
        raise InputError("No mesh was given: name at least one file.")
    return found


def _holds_files(output_dir: str | os.PathLike) -> bool:
    folder = Path(output_dir)
    return is_file(folder) or (is_folder(folder) and any(folder.iterdir()))


def _no_progress(stage: str, done: int, total: int) -> None:
    pass
