"""The verbs next-view, refine and feedback on a finished run of scenes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.cli.terminal import say

if TYPE_CHECKING:
    from mvdiff.cli.new_run import NewRun
    from mvdiff.runs.image_to_scene import ImageToScene
    from mvdiff.runs.scene_refine import SceneChange


def plan_next_photo(run_dir: Path, count: int, as_json: bool) -> None:
    """``mvdiff next-view`` on scenes."""
    from mvdiff.runs.scene_folder import SceneFolder
    from mvdiff.runs.scene_next_view import YAWS, plan_photos
    from recon.report.next_photo_map import draw_photo_plan

    folder = SceneFolder.open(run_dir)
    plan = plan_photos(folder.load_result(), count)
    found = plan.to_dict()
    bits = plan.photo.information.reshape(-1, YAWS).numpy()
    picture = draw_photo_plan(found, plan.places[:, [0, 2]].numpy(), bits, plan.safe.numpy(), plan.cell)
    folder.save_next_view(found, picture)
    record = {"output_dir": str(run_dir), **found}
    if as_json:
        print(json.dumps(record, allow_nan=False))
        return
    say(
        f"{record['entropy_bits']:.2f} bits are open about which scene is true. "
        "What a photo is expected to leave open, if one of them is true:"
    )
    for rank, view in enumerate(record["views"], 1):
        say(
            f"{rank}. {_pose(view)}: {view['expected_entropy_left_bits']:.2f} bits left"
            + (" with those before" if rank > 1 else f" (a random one: {record['left_after_random_bits']:.2f})")
        )
    say(f"With the way there counted: {_pose(record['next_step'])}.")
    say(f"{record['safe_to_walk']['square_meters']:.1f} m² are free for a body with a probability of 95 %.")
    say(f"The plan: {run_dir / 'next_view.png'}")


def load_scene_model(new_run: "NewRun") -> "ImageToScene":
    """The model of scenes that the options of a new run name."""
    from mvdiff.runs.image_to_scene import ImageToScene

    weights = new_run.model.weights
    return ImageToScene.from_pretrained("embedded-scene" if weights == "embedded" else weights, new_run.model.device)


def make_scene_run(new_run: "NewRun", run_dir: Path, kind: str, change: "Callable[..., SceneChange]") -> None:
    """Call ``change`` (a function of :mod:`mvdiff.runs.scene_refine`) and print what it changed."""
    from mvdiff.cli.progress import progress_bars

    output_dir = new_run.output_dir or run_dir.with_name(f"{run_dir.resolve().name}-{kind}")
    model = load_scene_model(new_run)
    with progress_bars(run_dir.name) as progress:
        changed = change(
            model, run_dir, output_dir=output_dir, seed=new_run.seed, overwrite=new_run.overwrite, progress=progress
        )
    if new_run.json:
        print(json.dumps({"output_dir": str(output_dir), **changed.record}, allow_nan=False))
        return
    say(_sentences(changed.record))
    say(f"{output_dir}: open {output_dir / 'explorer.html'}")


def _sentences(record: dict[str, Any]) -> str:
    names = {"before": "before", "reweighted": "reweighted, nothing sampled", "after": "after"}
    lines = []
    for key, name in names.items():
        if key in record:
            spread = record[key]["depth_spread"]["guessed"]
            lines.append(
                f"{name}: {record[key]['index_entropy_bits']:.2f} bits open "
                f"({record[key]['effective_size']:.1f} effective scenes)"
                + ("" if spread is None else f", guessed depths differ by {spread:.0%}")
            )
    camera = record.get("photo_camera")
    if camera is not None and camera["estimated"]:
        best = max(camera["cameras"], key=lambda one: one["likelihood_share"])
        lines.append(f"camera of the second photo, estimated: {_pose(best)}")
        lines += [f"note: {camera['warning']}"] if camera["warning"] else []
    return "\n".join(lines)


def _pose(view: dict[str, Any]) -> str:
    x, _, z = view["position"]
    turn = (view["yaw"] + 180) % 360 - 180
    looked = "straight ahead" if turn == 0 else f"{abs(turn):.0f}° to the {'right' if turn > 0 else 'left'}"
    moved = [
        f"{abs(value):.1f} m {far if value > 0 else near}"
        for value, far, near in ((-z, "ahead", "back"), (x, "right", "left"))
        if abs(value) >= 0.05
    ]
    return f"{looked}, {' and '.join(moved) or 'from the same place'}"
