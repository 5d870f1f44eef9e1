"""Options of ``mvdiff refine`` for runs of scenes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.cli.scene_actions import make_scene_run
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.cli.new_run import NewRun


@dataclass(frozen=True)
class SceneRefinement:
    """Evidence about a scene, or a change of its stations."""

    yaw: float | None = None
    """Direction of the second photo of a place in degrees to the right of the first one; estimated by default."""
    pitch: float | None = None
    """Pitch of the second photo in degrees above the horizon."""
    position: tuple[float, float, float] | None = None
    """Position of the second photo in meters from the first: right, up, back. By default the same place where --yaw is
    given, else estimated."""
    fov: float | None = None
    """Horizontal field of view of the second photo in degrees; from its EXIF data by default."""
    undo_station: int | None = None
    """Number, from 1 on, of a station to take back together with those after it."""
    reroll_station: int | None = None
    """Number of a station to sample again together with those after it."""
    hypothesis: int | None = None
    """The only scene whose station changes, by number; all by default."""

    def run(self, run_dir: Path, photo: Path | None, edited_view: Path | None, new_run: "NewRun") -> None:
        """Make the new run, and print what changed."""
        chosen = (photo, edited_view, self.undo_station, self.reroll_station)
        if sum(value is not None for value in chosen) != 1:
            raise InputError("Give one of --photo, --edited-view, --undo-station and --reroll-station.")
        from mvdiff.runs.scene_refine import change_station, refine_scene

        station = self.undo_station if self.reroll_station is None else self.reroll_station
        if station is not None:
            again = self.reroll_station is not None
            change = partial(change_station, station=station, again=again, hypothesis=self.hypothesis)
            make_scene_run(new_run, run_dir, "station", change)
            return
        evidence = self._photo(photo) if photo is not None else _edited(edited_view, run_dir)
        own: dict[str, Any] = {"resample": new_run.resample, "num_hypotheses": new_run.num_hypotheses}
        make_scene_run(new_run, run_dir, "refined", partial(refine_scene, evidence=evidence, **own))

    def _photo(self, path: Path) -> Any:
        from mvdiff.runs.scene_photo_pose import SecondPhoto
        from mvdiff.sampling.scene_photo import ScenePhoto

        found = SecondPhoto(ScenePhoto.load(path, self.fov), self.yaw, self.pitch, self.position)
        found.check()
        return found


def _edited(path: Path | None, run_dir: Path) -> Any:
    from mvdiff.runs.scene_edit import EditedSceneView
    from mvdiff.runs.scene_folder import SceneFolder

    assert path is not None
    folder = SceneFolder.open(run_dir)
    return EditedSceneView.load(path, folder.path, folder.load_result())
