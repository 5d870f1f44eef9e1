"""Kill jobs at arbitrary moments, again and again, and count what was lost: ``python tools/kill_runs.py --kills 200``.

A job (photo to folder on tiny networks, or the rendering of a data set) is a process of its own that is killed by
SIGKILL after a random time; the same job continues in the same folder until it ends. Lost is: a manifest that cannot be
read, a file that the manifest lists and that is not whole, a finished file that changed or vanished, and a result that
differs from that of an unbroken run. Needs a system with ``fork``.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / place) for place in (".", "tests/support", "tests/fuzz")]

Job = Callable[[Path], int]
#: Files that tell times, or of the job that is running.
_OF_THE_MOMENT = ("manifest.json", ".lock")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dice, kills, ended, lost = random.Random(arguments.seed), 0, 0, []
    with tempfile.TemporaryDirectory() as root:
        jobs = _jobs()
        for name, job in jobs.items():
            kills_of_job = arguments.kills // len(jobs)
            began = time.perf_counter()
            if _ended(_started(job, Path(root) / name)) != 0:
                raise RuntimeError(f"the unbroken {name} failed")
            longest, whole = time.perf_counter() - began, _files(Path(root) / name)
            folder, known, killed = Path(root) / "killed", {}, 0
            while killed < kills_of_job:
                child = _started(job, folder)
                # Mostly short, so that a job is killed several times on its way.
                code = _killed_after(child, longest * dice.random() ** 4)
                killed += code == -signal.SIGKILL
                lost += [f"{name}: {text}" for text in _losses(folder, known, whole, finished=code == 0)]
                if code not in (0, -signal.SIGKILL):
                    lost.append(f"{name}: ended with {code}")
                if code != -signal.SIGKILL:
                    ended += 1
                    shutil.rmtree(folder, ignore_errors=True)
                    known = {}
            kills += killed
            shutil.rmtree(folder, ignore_errors=True)
            print(f"{name}: {killed} kills, {len(lost)} losses so far", flush=True)
    print(f"{kills} kills, {ended} jobs ended, {len(lost)} losses", *lost, sep="\n")
    return 1 if lost else 0


def _jobs() -> dict[str, Job]:
    """Each imports what it needs once, before processes are made of it."""
    import samples

    import recon.io.meshes.files
    import recon.posterior
    import recon.report  # noqa: F401

    weights = _in_child(samples.packed_weights)
    picture = samples.photo(weights)
    options = ("--weights", weights, "--device", "cpu", "--preset", "fast")

    def generate(folder: Path) -> int:
        counts = ("--num-hypotheses", 2, "--num-inference-steps", 1)
        return samples.quiet("generate", picture, *options, *counts, "--output-dir", folder)

    def render(folder: Path) -> int:
        small = ("--size", 16, "--supersample", 1, "--ring-views", 6, "--references", 1)
        return samples.quiet("data", "render", folder, "--procedural", 6, *small)

    return {"generate": generate, "data render": render}


def _in_child(make: Callable[[], Path]) -> Path:
    """The folder that ``make`` fills, in a process of its own: threads of this one would not survive a fork."""
    target = Path(tempfile.mkdtemp(prefix="weights-"))
    child = os.fork()
    if child == 0:
        shutil.copytree(make(), target, dirs_exist_ok=True)
        os._exit(0)
    if _ended(child) != 0:
        raise RuntimeError("the weights could not be made")
    return target


def _started(job: Job, folder: Path) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = job(folder)
        finally:
            os._exit(code)
    return child


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _killed_after(child: int, seconds: float) -> int:
    """The exit code; −9 where the process was still running after that time."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return _ended(child)


def _files(folder: Path) -> dict[str, str]:
    """Hash of each whole file; half-written ones have names of their own."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".partial" not in path.name)
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name not in _OF_THE_MOMENT
    }


def _losses(folder: Path, known: dict[str, str], whole: dict[str, str], finished: bool) -> list[str]:
    """List what a kill has cost, and note in ``known`` the files that are there now."""
    found, lost = _files(folder) if folder.exists() else {}, []
    # Hypotheses that are kept for the time being go when the results are there.
    lost += [f"{name} vanished or changed" for name in known if name in whole and found.get(name) != known[name]]
    lost += [f"{name} is not as in an unbroken run" for name in found if _differs(name, found, whole)]
    manifest = folder / "manifest.json"
    if manifest.exists():
        try:
            complete = json.loads(manifest.read_text()).get("complete")
        except ValueError:
            return [*lost, "the manifest cannot be read"]
        if complete and found.keys() != whole.keys():
            lost.append("the manifest of half a run says that it is complete")
    if finished and found.keys() != whole.keys():
        lost.append(f"ended without {sorted(whole.keys() - found.keys())}")
    known.clear()
    known.update({} if finished else found)
    return lost


def _differs(name: str, found: dict[str, str], whole: dict[str, str]) -> bool:
    return name.rsplit("/", 1)[-1] != "report.html" and name in whole and found[name] != whole[name]


if __name__ == "__main__":
    sys.exit(main())
