"""A run in a folder: written piece by piece, so that an interrupted run can be continued."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from mvdiff.runs.files.photo import photo_path, write_photo
from mvdiff.runs.files.result import read_result, read_summary, write_evidence, write_result
from mvdiff.runs.files.samples import load_sample, save_samples, shape_file, write_transforms
from mvdiff.runs.result import GenerationResult
from mvdiff.runs.run_folder import NEXT_VIEW, RunFolder
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import Sampled
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.paths import is_file
from recon.core.reading import reading
from recon.core.views import ViewSet
from recon.io.folders import MANIFEST, atomic_write, write_json
from recon.ops.parallel import in_threads
from recon.posterior import Hypothesis, load_hypothesis, save_hypothesis
from recon.posterior.next_view import NextView


class FolderStore(RunFolder):
    """A :class:`~mvdiff.runs.store.RunStore` in a local folder, or in one behind an fsspec URL.

    The folder holds ``manifest.json``, ``photo.webp``, ``reference.*``, ``views/``, ``hypotheses/``, ``posterior.*``,
    ``summary.json`` and ``report.html``.
    """

    def _check_kind(self, path: str | os.PathLike) -> None:
        inputs = self.manifest["inputs"]
        if inputs.get("verb") in ("views", "reconstruct") or "config" not in inputs:
            raise InputError(f"'{path}' holds no hypotheses with their posterior: give a folder of `mvdiff generate`.")

    @property
    def num_hypotheses(self) -> int:
        """The number that was asked for, or the one that was found to be enough."""
        with reading(self.path / MANIFEST, "manifest of a run", "generate it again"):
            return self.manifest.get("num_hypotheses", self.manifest["inputs"]["config"]["num_hypotheses"])

    @property
    def summary(self) -> dict[str, Any]:
        """Contents of ``summary.json`` of a complete run."""
        return read_summary(self.output)

    def finish(self, **entries: Any) -> None:
        """Drop what only an interrupted run needs, and mark the run as complete."""
        for name in [*self._stage_files(), *map(shape_file, range(self.num_hypotheses))]:
            (self.path / name).unlink(missing_ok=True)
        kept = [name for name in self.manifest["files"] if is_file(self.path / name)]
        self.output.finish(files=kept, **entries)
        self._publish()

    # Photo

    def save_photo(self, reference: ReferenceImage, photo: Any) -> None:
        write_photo(self.output, reference, photo)

    @property
    def photo(self) -> Path | None:
        """The photo's small copy, where the run was given a photo."""
        return photo_path(self.output)

    def save_evidence(self, picture: Image.Image) -> None:
        """Keep the further picture that a refined run is conditioned on."""
        write_evidence(self.output, picture)

    # Samples

    def load_sample(self, index: int) -> Sampled | None:
        return load_sample(self.output, index)

    def save_samples(self, samples: Mapping[int, Sampled]) -> None:
        save_samples(self.output, samples)
        self._publish()

    def write_transforms(self, views: ViewSet) -> None:
        """Write the views [n v] for other programs."""
        write_transforms(self.output, views)

    # Hypotheses with their distance fields, kept until the run is complete

    def _stage_files(self) -> list[str]:
        return [f"hypotheses/{index:03d}.npz" for index in range(self.num_hypotheses)]

    def save_hypotheses(self, hypotheses: Sequence[Hypothesis]) -> None:
        names = self._stage_files()
        self.output.list_files(*names)
        in_threads(lambda k: save_hypothesis(hypotheses[k], self.path / names[k]), range(len(names)))
        self._publish()

    def load_hypotheses(self, views: ViewSet) -> list[Hypothesis] | None:
        names = self._stage_files()
        if not all(self.output.has(name) for name in names):
            return None
        loaded = in_threads(lambda name: load_hypothesis(self.path / name), names)
        return [replace(hypothesis, views=views[k]) for k, hypothesis in enumerate(loaded)]

    # Result

    def save_result(self, result: GenerationResult, device: str) -> None:
        write_transforms(self.output, result.views)
        write_result(self.output, result)
        self.finish(device=device)

    def load_result(self) -> GenerationResult:
        """The result of a complete run; its meshes come from their files, without distance fields."""
        if not self.complete:
            raise InputError(f"The run in '{self.path}' is not complete: run the same command again to go on.")
        samples = [load_sample(self.output, index) for index in range(self.num_hypotheses)]
        views, cameras = zip(*samples, strict=True)
        return read_result(self.output, Sampled(ViewSet.cat(views), PhotoCamera.cat(cameras)))

    def save_next_view(self, view: NextView, meshes: Sequence[TexturedMesh]) -> None:
        """Write ``next_view.json`` and its map; a run is complete without them."""
        from recon.report.next_view_map import draw_next_view

        write_json(self.path / NEXT_VIEW[0], view.to_dict())
        with atomic_write(self.path / NEXT_VIEW[1]) as temporary:
            draw_next_view(view, meshes).save(temporary, optimize=True)
        self._publish(*NEXT_VIEW)
