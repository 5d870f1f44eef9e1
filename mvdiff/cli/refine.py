"""``mvdiff refine``: condition a finished run on further evidence."""

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.cli.new_run import NewRun
from mvdiff.cli.scene_refinement import SceneRefinement
from mvdiff.sampling.generation import Framing, Matting
from recon.core.errors import InputError


@dataclass(frozen=True)
class Command:
    """Condition a finished run on a second photo, or on one of its sampled views that was painted over.

    The old hypotheses are weighted by how well they predict the picture; then new ones are sampled with it. Of runs of
    scenes, a station can also be taken back or sampled again. The results are a complete output folder of their own.
    """

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The output folder of a finished run."""
    photo: Path | None = None
    """A second photo of the same object or place."""
    azimuth: float | None = None
    """Azimuth of the second photo: degrees around the object from the first one, positive to the right. By default it
    is estimated from how the hypotheses look."""
    elevation: float | None = None
    """Elevation of the second photo's camera in degrees above the horizon, if known."""
    azimuth_tolerance: float = 5.0
    """Uncertainty of a given azimuth in degrees."""
    edited_view: Path | None = None
    """Painted-over copy of one of OUT/views/NNN/images/*.png, in place of a photo; of scenes, one of the views 001 to
    008 in OUT/hypotheses/NNN/images/."""
    matting: Matting = True
    """Cut the object out of a photo without transparency."""
    framing: Framing = "recentre"
    """Framing of the photo. "recentre" suits any photo; "keep" assumes an uncropped frame, 40° wide, aimed at the
    object."""
    scene: Annotated[SceneRefinement, tyro.conf.OmitArgPrefixes, tyro.conf.arg(name="scenes")] = field(
        default_factory=SceneRefinement
    )
    new_run: Annotated[NewRun, tyro.conf.OmitArgPrefixes, tyro.conf.arg(name="run")] = field(default_factory=NewRun)

    def run(self) -> None:
        from mvdiff.runs.run_folder import holds_scenes

        if holds_scenes(self.run_dir):
            self.scene.run(self.run_dir, self.photo, self.edited_view, self.new_run)
            return
        if (self.photo is None) == (self.edited_view is None):
            raise InputError("Give either --photo or --edited-view.")
        from mvdiff.runs.azimuth import locate
        from mvdiff.runs.evidence import EditedView, SecondPhoto
        from mvdiff.runs.folder import FolderStore
        from mvdiff.runs.refine import refine
        from mvdiff.sampling.generation import GenerationConfig

        folder = FolderStore.open(self.run_dir)
        if self.edited_view is not None:
            evidence = EditedView.load(self.edited_view, folder, folder.load_result().views)
        model = self.new_run.load_model()
        if self.photo is not None:
            reference = model.prepare(self.photo, GenerationConfig(matting=self.matting, framing=self.framing))
            if self.azimuth is None:
                evidence, found = locate(model, self.run_dir, reference, self.elevation)
                print(found.sentence(), file=sys.stderr)
            else:
                evidence = SecondPhoto(reference, self.azimuth, self.elevation, self.azimuth_tolerance)
        self.new_run.make(model, self.run_dir, "refined", partial(refine, evidence=evidence))
