"""``mvdiff scene``: a photo of a place to explorable scenes."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from mvdiff.cli.progress import progress_bars
from mvdiff.sampling.scene_settings import SceneGenerationConfig


@dataclass(frozen=True)
class Command:
    """Turn a photo of a room, a street or a landscape into N scenes that can be walked through.

    Each scene is written as GLB (textured mesh, splats, collision, sky, cameras), splats, panorama, views and a video;
    ``explorer.html`` shows all of them.
    The same command resumes an interrupted run.
    """

    photo: Annotated[Path, tyro.conf.Positional]
    """Photo of a place."""
    output_dir: Path = Path("out")
    """Folder for the results."""
    config: Annotated[SceneGenerationConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=SceneGenerationConfig)
    weights: str = "embedded-scene"
    """Weights to load: "embedded-scene" (in this package), or a folder."""
    device: str = "auto"
    """Device to run on: auto, cpu, cuda or cuda:N."""
    overwrite: bool = False
    """Replace results of other inputs or settings in the output folder."""
    path: Path | None = None
    """Camera path to film in every scene: a transforms.json in meters, +Y up, with the photo's camera at the origin
    looking along -Z. Its images need not exist."""
    collision: bool = True
    """End the path at walls and where no view shows what is there. --no-collision films through them."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        self.config.check()
        import diffusers

        from mvdiff.runs.image_to_scene import ImageToScene
        from mvdiff.runs.scene_folder import SceneFolder
        from mvdiff.runs.scene_path import ScenePath
        from mvdiff.sampling.scene_photo import ScenePhoto

        diffusers.logging.set_verbosity_error()  # its notes on loading are not for the user of a command
        photo = ScenePhoto.load(self.photo, self.config.fov)
        path = None if self.path is None else ScenePath.load(self.path, self.collision)
        model = ImageToScene.from_pretrained(self.weights, self.device)
        with progress_bars(self.photo.name) as progress:
            model.generate(photo, self.output_dir, self.overwrite, progress, path, **asdict(self.config))
        folder = SceneFolder.open(self.output_dir)
        record = {
            "photo": str(self.photo),
            "output_dir": str(self.output_dir),
            "files": folder.output.manifest["files"],
            "seconds": folder.output.manifest.get("seconds", {}),
            "summary": folder.summary,
        }
        print(json.dumps(record, allow_nan=False) if self.json else _sentence(record))


def _sentence(record: dict[str, Any]) -> str:
    summary, folder = record["summary"], Path(record["output_dir"])
    count = summary["num_hypotheses"]
    lines = [f"{folder}: {count} scene{'s' if count > 1 else ''}; open {folder / 'explorer.html'}"]
    spread = summary["depth_spread"]
    if spread["guessed"] is not None:
        lines.append(
            f"  depths differ by {spread['seen'] or 0:.0%} where the photo sees, {spread['guessed']:.0%} elsewhere"
        )
    lines.append(f"  {summary['calibration']['statement']}")
    return "\n".join([*lines, *(f"  note: {note}" for note in summary["warnings"])])
