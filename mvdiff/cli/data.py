"""``mvdiff data``: render, import and check data sets for training."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.cli.progress import progress_bars
from mvdiff.cli.terminal import say
from mvdiff.data.render.config import RenderDataset
from mvdiff.data.scenes.render_config import RenderScenes
from mvdiff.data.sources.import_config import ImportPhotos
from recon.core.errors import InputError


@dataclass(frozen=True)
class Render:
    """Render meshes from all sides into tar shards for training.

    Run the same command again to continue after an interruption. Meshes that cannot be used are named and left out.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MESHES… OUT")]
    """Meshes (GLB, glTF, OBJ, PLY, STL …), folders of them or mesh packs; last the folder of the data set."""
    config: Annotated[RenderDataset, tyro.conf.OmitArgPrefixes] = field(default_factory=RenderDataset)

    def run(self) -> None:
        if not self.paths:
            raise InputError("Name the meshes and, last, the folder of the data set.")
        config = replace(self.config, meshes=self.paths[:-1], output=self.paths[-1])
        config.check()
        from mvdiff.data.dataset import render_dataset

        skipped: dict[str, str] = {}
        notes: dict[str, str] = {}
        with progress_bars(str(config.output)) as report:
            for done, total, shard in render_dataset(config):
                report("objects", done, total)
                if shard:
                    skipped |= shard.skipped
                    notes |= {origin["name"]: origin["note"] for origin in shard.origins if "note" in origin}
        for name, note in notes.items():
            say(f"note {name}: {note}")
        for name, reason in skipped.items():
            say(f"skipped {name}: {reason}")
        say(f"{config.output}: {total - len(skipped)} objects, {len(skipped)} skipped")


@dataclass(frozen=True)
class ScenesAction:
    """Make procedural rooms, flats, corridors, streets, courtyards and terrain, and photograph them into tar shards.

    Run the same command again to continue after an interruption. A contact sheet of the first scenes is drawn
    beside the shards.
    """

    config: Annotated[RenderScenes, tyro.conf.OmitArgPrefixes]

    def run(self) -> None:
        self.config.check()
        from mvdiff.data.scenes.dataset import render_scenes

        with progress_bars(str(self.config.output)) as report:
            for done, total, _ in render_scenes(self.config):
                report("scenes", done, total)
        say(f"{self.config.output}: {total} scenes of {self.config.record.views} views")


@dataclass(frozen=True)
class Check:
    """Check a data set: contact sheet, statistics, licenses, suspicious objects."""

    data: tyro.conf.Positional[str]
    """Folder or URL of a data set."""
    output_dir: Path | None = None
    """Folder for contact_sheet.png and statistics.json; by default <name>-check in the current folder."""
    objects: int = 32
    """Rows of the contact sheet."""

    def run(self) -> None:
        if not 1 <= self.objects <= 10_000:
            raise InputError(f"--objects is from 1 to 10000, not {self.objects}.")
        from mvdiff.data.check import check_dataset, write_check

        folder = self.output_dir or Path(f"{Path(self.data).name or 'data'}-check")
        with progress_bars(self.data) as report:
            for done, total, figures, sheet in check_dataset(self.data, self.objects):  # noqa: B007
                report("objects", done, total)
        sheet_path, _ = write_check(folder, figures, sheet)
        say(f"{figures.objects} objects in {figures.shards['count']} shards, {len(figures.skipped)} skipped")
        say(f"covering {figures.coverage['mean']:.0%} of the pictures on average")
        tables = {"licence": figures.licences, "group": figures.groups, "without": figures.missing_channels}
        for title, counts in tables.items():
            for name, count in counts.items():
                say(f"{title:<8} {count:>7}  {name}")
        for name, reason in figures.suspicious.items():
            say(f"look at {name}: {reason}")
        say(f"{sheet_path}")


@dataclass(frozen=True)
class Import:
    """Convert posed photos of objects into tar shards for training; no mesh is needed.

    What photos do not show (normals, depth) is left out of the loss.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TRANSFORMS_JSON… OUT")]
    """One transforms.json, its folder or a saved ViewSet per object; last the folder of the data set."""
    config: Annotated[ImportPhotos, tyro.conf.OmitArgPrefixes] = field(default_factory=ImportPhotos)

    def run(self) -> None:
        if not self.paths:
            raise InputError("Name the transforms.json of each object and, last, the folder of the data set.")
        config = replace(self.config, photos=self.paths[:-1], output=self.paths[-1])
        config.check()
        from mvdiff.data.sources.posed_photos import import_photos

        with progress_bars(str(config.output)) as report:
            for done, total, shard in import_photos(config):  # noqa: B007
                report("objects", done, total)
        for name, reason in shard.skipped.items():
            say(f"skipped {name}: {reason}")
        say(f"{config.output}: {len(shard.origins)} objects, {len(shard.skipped)} skipped")


@dataclass(frozen=True)
class Command:
    """Data sets for training and fine-tuning."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Render, tyro.conf.subcommand("render")]
        | Annotated[ScenesAction, tyro.conf.subcommand("render-scenes")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Import, tyro.conf.subcommand("import")]
    ]

    def run(self) -> None:
        self.action.run()
