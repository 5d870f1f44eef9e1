"""``mvdiff next-view``: plan the most informative next photo."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mvdiff.cli.scene_actions import plan_next_photo
from mvdiff.cli.terminal import say
from mvdiff.sampling.settings import check_count


@dataclass(frozen=True)
class Command:
    """Rank directions by the expected information (bits) of a photo from there about the true hypothesis.

    Of scenes, places that are safe to walk to are ranked, too.
    Writes next_view.json and next_view.png into the run's folder.
    """

    run_dir: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The output folder of a finished run."""
    num_views: int = 3
    """Number of photos to plan, each given the ones before it."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        check_count("photos to plan", self.num_views, 64)
        from mvdiff.runs.run_folder import holds_scenes

        if holds_scenes(self.run_dir):
            plan_next_photo(self.run_dir, self.num_views, self.json)
            return
        from mvdiff.runs.folder import FolderStore
        from recon.posterior.next_view import next_view

        folder = FolderStore.open(self.run_dir)
        result = folder.load_result()
        meshes = [hypothesis.mesh for hypothesis in result.hypotheses]
        found = next_view(meshes, result.posterior.weights, self.num_views)
        folder.save_next_view(found, meshes)
        record = {"output_dir": str(self.run_dir), **found.to_dict()}
        if self.json:
            print(json.dumps(record, allow_nan=False))
            return
        say(
            f"{found.entropy:.2f} bits are open about which of {len(meshes)} hypotheses is true. "
            "What a photo is expected to leave open, if one of them is true:"
        )
        for rank, view in enumerate(record["views"], 1):
            say(
                f"{rank}. azimuth {view['azimuth']:.0f}°, elevation {view['elevation']:.0f}°: "
                f"{view['expected_entropy_left_bits']:.2f} bits left"
                + (" with those before" if rank > 1 else f" (a random direction: {found.left_after_random:.2f})")
            )
        say(f"The map: {self.run_dir / 'next_view.png'}")
