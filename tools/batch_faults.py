"""Disturb and measure the engine of batches, with real processes, a real Ray cluster and a real S3-compatible server.

``kills``: kill -9 of a random worker every few seconds, of the driver twice, of the store once, loss of a node of Ray
once; the output after the last restart is compared with that of an undisturbed run, hash by hash. ``many``: 100,000
photos of a millisecond, with the driver's memory over time. ``share``: cost of a photo with one worker and with two.
``full-disk``: a disk that is full for a while.
``busy-store``: a store that answers every third request with 503. ``index``: the index of 100,000 rows in a headless
browser, opened from disk. The stub samples nothing: with it, the engine is tested, not the model.
"""

import argparse
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATHS = [str(ROOT), str(ROOT / "tests/support")]
sys.path[:0] = PATHS
os.environ["PYTHONPATH"] = os.pathsep.join([*PATHS, os.environ.get("PYTHONPATH", "")])

import psutil  # noqa: E402
from s3_server import S3Server  # noqa: E402

from mvdiff.batch.config import WORKER, BatchConfig, Crew  # noqa: E402
from mvdiff.batch.results import BatchFolder  # noqa: E402
from mvdiff.batch.store import Store, shards  # noqa: E402

STUB = "batch_stub:StubJob"
#: Size of one node of Ray.
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    kills = verbs.add_parser("kills")
    kills.add_argument("--engine", choices=("local", "ray"), default="local")
    kills.add_argument("--store", choices=("disk", "s3"), default="disk")
    kills.add_argument("--sampler", choices=("stub", "tiny"), default="stub", help="tiny: real parts, tiny networks")
    kills.add_argument("--photos", type=int, default=400)
    kills.add_argument("--every", type=float, default=3.0, help="mean seconds between two kills of workers")
    kills.add_argument("--seconds", type=float, default=0.05, help="duration of a photo of the stub")
    kills.add_argument("--seed", type=int, default=0)
    many = verbs.add_parser("many")
    many.add_argument("--photos", type=int, default=100_000)
    many.add_argument("--seconds", type=float, default=0.001)
    share = verbs.add_parser("share")
    share.add_argument("--photos", type=int, default=200)
    share.add_argument("--seconds", type=float, default=0.2)
    verbs.add_parser("full-disk")
    verbs.add_parser("busy-store")
    for each in (many, share):
        each.add_argument("--engine", choices=("local", "ray"), default="local")
    for each in (kills, many, share):
        each.add_argument("--workers", type=int, default=2)
    index = verbs.add_parser("index")
    index.add_argument("--rows", type=int, default=100_000)
    index.add_argument("--browser", default="/usr/bin/chromium", help="command of a Chromium")
    drive = verbs.add_parser("drive")
    drive.add_argument("config")
    return parser


def main() -> int:
    arguments = make_parser().parse_args()
    if arguments.verb == "drive":
        return _drive(arguments.config)
    run = {"kills": run_kills, "many": run_many, "share": run_share, "full-disk": run_full_disk}
    run = (run | {"busy-store": run_busy_store, "index": run_index})[arguments.verb]
    with tempfile.TemporaryDirectory(prefix="mvdiff-faults-") as root:
        return run(Path(root), arguments)


def _drive(text: str) -> int:
    """A driver in this process; prints its tally."""
    from dataclasses import asdict

    from mvdiff.batch.driver import run_batch

    values = json.loads(text)
    result = run_batch(BatchConfig(**{**values, "crew": Crew(**values["crew"])}))
    print(json.dumps({**asdict(result.tally), **asdict(result.totals), "working": result.tally.working}))
    return 0


def start_driver(config: dict[str, Any], environment: dict[str, str]) -> subprocess.Popen:
    command = [sys.executable, __file__, "drive", json.dumps(config)]
    return subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)


# Kills


def run_kills(root: Path, options: argparse.Namespace) -> int:
    dice = random.Random(options.seed)
    setup, worker = _job(root, options)
    photos = write_photos(root / "photos", options.photos, real=options.sampler == "tiny")
    with _server(root, options.store) as server, cluster(options.engine) as nodes:
        crew = {"engine": options.engine, "workers": options.workers, "cores_per_worker": 1, "attempts": 50}
        crew |= {"ray_address": nodes and nodes.address, "patience": 60.0}
        base = {"photos": str(photos), "setup": setup, "worker": worker, "crew": crew}
        place = (lambda name: f"s3://batch/{name}") if server else (lambda name: str(root / name))
        environment = server.environment if server else {}
        began = time.monotonic()
        calm = _undisturbed(base | {"out": place("calm")}, environment)
        print(f"undisturbed: {calm['done']} photos, {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        record = _disturbed(base | {"out": place("disturbed")}, environment, server, nodes, options, dice)
        print(f"disturbed: {time.monotonic() - began:.0f} s, kills: {record}", flush=True)
        return _compare(place("calm"), place("disturbed"), options.photos)


def _job(root: Path, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    if options.sampler == "stub":
        return {"seconds": options.seconds}, STUB
    from dataclasses import asdict

    from tiny_networks import tiny_networks

    from mvdiff.sampling.generation import GenerationConfig
    from mvdiff.weights.packing import save_packed

    transformer, estimator = tiny_networks()
    save_packed({"transformer": transformer, "camera_estimator": estimator}, root / "weights", {})
    config = GenerationConfig(num_hypotheses=1, num_inference_steps=2, candidates=1)
    model = {"weights": str(root / "weights"), "device": "cpu", "preset": "fast"}
    return {"model": model, "config": asdict(config), "keep": ["glb", "summary", "views"]}, WORKER


def write_photos(folder: Path, count: int, real: bool) -> Path:
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:06d}.png"
        if real:
            import numpy as np
            from PIL import Image

            rgba = np.zeros((64, 64, 4), np.uint8)
            rgba[12:52, 16:48] = (number * 13 % 256, number * 29 % 256, 120, 255)
            Image.fromarray(rgba).save(path)
        else:
            path.write_text(f"photo {number}")
    return folder


@contextmanager
def cluster(engine: str) -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine, with one processor each."""
    if engine == "local":
        yield None
        return
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    made.add_node(**NODE)
    try:
        yield made
    finally:
        made.shutdown()


@contextmanager
def _server(root: Path, store: str) -> Iterator[S3Server | None]:
    if store == "disk":
        yield None
        return
    server = S3Server(root / "s3").start()
    os.environ.update(server.environment)  # before a cluster starts: its workers need the keys, too
    try:
        yield server
    finally:
        server.kill()


def _undisturbed(config: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    driver = start_driver(config, environment)
    text, _ = driver.communicate()
    assert driver.returncode == 0, "the undisturbed run failed"
    return json.loads(text)


def _disturbed(
    config: dict[str, Any],
    environment: dict[str, str],
    server: S3Server | None,
    nodes: Any,
    options: argparse.Namespace,
    dice: random.Random,
) -> dict[str, int]:
    """Start the driver again and again until it ends by itself. Returns the number of kills."""
    killed = {"workers": 0, "drivers": 0, "stores": 0, "nodes": 0}
    driver = start_driver(config, environment)
    next_kill = time.monotonic() + options.every
    while driver.poll() is None:
        time.sleep(0.2)
        if time.monotonic() < next_kill:
            continue
        next_kill = time.monotonic() + options.every * dice.uniform(0.5, 1.5)
        share = _published(config["out"]) / options.photos
        if killed["drivers"] < 2 and share > (0.2, 0.6)[killed["drivers"]]:
            driver.kill()
            driver.wait()
            killed["drivers"] += 1
            driver = start_driver(config, environment)
        elif server is not None and not killed["stores"] and share > 0.4:
            server.kill()
            killed["stores"] += 1
            time.sleep(4)
            server.start()
        elif nodes is not None and not killed["nodes"] and share > 0.7:
            nodes.remove_node(next(n for n in nodes.list_all_nodes() if not n.head), allow_graceful=False)
            nodes.add_node(**NODE)
            killed["nodes"] += 1
        elif workers := list(_workers(driver.pid, options.engine)):
            dice.choice(workers).kill()
            killed["workers"] += 1
    assert driver.returncode == 0, f"the disturbed run ended with {driver.returncode}"
    return killed


def _published(out: str) -> int:
    return sum(1 for _ in BatchFolder(Store(out, 30.0)).published())


def _workers(driver: int, engine: str) -> Iterator[psutil.Process]:
    """Processes of workers: children of the driver, or actors of Ray."""
    every = psutil.Process(driver).children() if engine == "local" else psutil.process_iter()
    for process in every:
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if ("spawn_main" in line) if engine == "local" else line.startswith("ray::Host"):
            yield process


def _compare(calm: str, disturbed: str, photos: int) -> int:
    """Print what differs: files by hash, commits by number."""
    first, second = file_hashes(calm), file_hashes(disturbed)
    lost, more = sorted(set(first) - set(second)), sorted(set(second) - set(first))
    changed = [name for name in first if name in second and first[name] != second[name]]
    commits = sum(1 for _ in BatchFolder(Store(disturbed)).published())
    rows = _rows(disturbed)
    print(
        f"{len(first)} files: {len(lost)} lost, {len(more)} too many, {len(changed)} changed; {commits} commits and "
        f"{len(rows)} rows ({len(set(rows))} different) of {photos} photos"
    )
    print(*lost[:3], *more[:3], *changed[:3], sep="\n")
    return int(bool(lost or more or changed or commits != photos or len(rows) != photos or len(set(rows)) != photos))


def file_hashes(out: str) -> dict[str, str]:
    """Hash of every file below ``runs/``."""
    store, found = Store(out), {}
    for shard in shards():
        for key in store.names(f"runs/{shard}"):
            folders = [f"runs/{shard}/{key}"]
            while folders:
                folder = folders.pop()
                for name in store.names(folder):
                    data = store.read(f"{folder}/{name}") if "." in name else None
                    if data is None:
                        folders.append(f"{folder}/{name}")
                    else:
                        found[f"{folder}/{name}"] = hashlib.sha256(data).hexdigest()
    return found


def _rows(out: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = Store(out).read("summary.parquet")
    return pq.read_table(pa.BufferReader(data), columns=["photo"])["photo"].to_pylist()


# Measurements


def run_many(root: Path, options: argparse.Namespace) -> int:
    shard = write_shard(root / "photos.tar", options.photos)
    crew = {"engine": options.engine, "workers": options.workers, "cores_per_worker": 1}
    config = {"photos": str(shard), "out": str(root / "out"), "worker": STUB, "crew": crew}
    began = time.monotonic()
    driver = start_driver(config | {"setup": {"seconds": options.seconds}}, {})
    stop, seen = threading.Event(), []

    def watch() -> None:
        process = psutil.Process(driver.pid)
        while not stop.wait(5.0):
            try:
                seen.append((round(time.monotonic() - began), process.memory_info().rss / 1e6))
            except psutil.Error:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    text, _ = driver.communicate()
    stop.set()
    watcher.join()
    tally = json.loads(text)
    rate, whole = tally["done"] / tally["wall"], time.monotonic() - began
    print(f"{tally['done']} photos, {rate:.0f} a second, {whole:.0f} s in all")
    for place in range(11):
        second, megabytes = seen[min(len(seen) - 1, place * len(seen) // 10)]
        print(f"{second:6d} s  driver {megabytes:6.1f} MB")
    return int(tally["done"] != options.photos)


def write_shard(path: Path, count: int) -> Path:
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            data = f"photo {number}".encode()
            info = tarfile.TarInfo(f"{number:08d}.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def run_share(root: Path, options: argparse.Namespace) -> int:
    photos = write_photos(root / "photos", options.photos, real=False)
    cost = {}
    with cluster(options.engine) as nodes:
        for workers in (1, 2):
            crew = {"engine": options.engine, "workers": workers, "cores_per_worker": 1}
            crew |= {"ray_address": nodes and nodes.address}
            out, setup = str(root / f"out-{workers}"), {"seconds": options.seconds}
            config = {"photos": str(photos), "out": out, "worker": STUB, "crew": crew, "setup": setup}
            tally = _undisturbed(config, {})
            cost[workers] = tally["served"] / tally["done"]
            print(f"{workers} workers: {cost[workers]:.4f} worker seconds a photo, {tally['working']:.1%} at work")
    print(f"cost of a photo with two workers against one: {cost[2] / cost[1]:.3f}")
    return 0


def run_full_disk(root: Path, options: argparse.Namespace) -> int:
    """A tmpfs of 4 MB that is full at first; it is freed after some seconds. Needs root."""
    disk = root / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        photos = write_photos(root / "photos", 60, real=False)
        ballast = disk / "ballast"
        crew = {"engine": "local", "workers": 2, "cores_per_worker": 1}
        config = {"photos": str(photos), "out": str(disk / "out"), "worker": STUB, "crew": crew}
        driver = start_driver(config | {"setup": {"seconds": 0.4, "size": 16_384}}, {})
        time.sleep(3)
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"0" * 4096)
            except OSError as error:
                print(f"the disk is full: {error}", flush=True)
        before = _published(str(disk / "out"))
        time.sleep(6)
        print(f"results when it was full: {before}, six seconds later: {_published(str(disk / 'out'))}", flush=True)
        ballast.unlink()
        text, _ = driver.communicate()
        tally = json.loads(text)
        left = list((disk / "out/.work").iterdir())
        print(f"{tally['done']} of 60 photos, {tally['failed']} failures, {len(left)} leftovers")
        return int(tally["done"] != 60 or bool(left))
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def run_busy_store(root: Path, options: argparse.Namespace) -> int:
    """A proxy before the S3 server that answers every third request with 503, which clients may try again."""
    from busy_proxy import BusyProxy

    with _server(root, "s3") as server, BusyProxy(server.port, every=3) as proxy:
        environment = server.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
        photos = write_photos(root / "photos", 50, real=False)
        crew = {"engine": "local", "workers": 2, "cores_per_worker": 1}
        config = {"photos": str(photos), "out": "s3://batch/out", "worker": STUB, "crew": crew, "setup": {}}
        tally = _undisturbed(config, environment)
        print(f"{tally['done']} of 50 photos, {proxy.refused} of {proxy.requests} requests were answered with 503")
        return int(tally["done"] != 50 or not proxy.refused)


def run_index(root: Path, options: argparse.Namespace) -> int:
    """Rows with drawn thumbnails of 256 x 64 pixels, as batches have them."""
    from playwright.sync_api import sync_playwright

    from mvdiff.batch.index import write_index
    from mvdiff.batch.summary import write_tables
    from mvdiff.batch.table import to_bytes

    store, strips, dice = Store(str(root)), _strips(50), random.Random(0)
    for start in range(0, options.rows, 1000):
        numbers = range(start, min(options.rows, start + 1000))
        store.write(f"parts/{start:09d}.parquet", to_bytes([_index_row(k, strips[k % 50], dice) for k in numbers]))
    began = time.monotonic()
    write_index(store, write_tables(store))
    size = sum(path.stat().st_size for path in (root / "index").iterdir()) / 1e6
    print(f"{options.rows} rows: written in {time.monotonic() - began:.1f} s, {size:.0f} MB")
    with sync_playwright() as tool:
        page = tool.chromium.launch(executable_path=options.browser, args=["--no-sandbox"]).new_page()
        began = time.monotonic()
        page.goto((root / "index.html").as_uri())
        page.wait_for_function("all.length === HEAD.rows")
        print(f"all rows read after {time.monotonic() - began:.2f} s")
        began = time.monotonic()
        page.select_option("#order", "-2")
        print(f"another order after {time.monotonic() - began:.2f} s")
        page.evaluate("at('list').scrollTop = 2e6")
        page.wait_for_timeout(1000)
        count, memory = page.evaluate("[document.querySelectorAll('.row').length, performance.memory.usedJSHeapSize]")
        print(f"after scrolling: {count} rows in the page, {memory / 1e6:.0f} MB of JavaScript memory")
    return 0


def _strips(count: int) -> list[str]:
    import base64

    from PIL import Image, ImageDraw

    dice, strips = random.Random(0), []
    for _ in range(count):
        picture, file = Image.new("RGB", (256, 64), "white"), io.BytesIO()
        for place in range(4):
            color = tuple(dice.randrange(256) for _ in range(3))
            ImageDraw.Draw(picture).ellipse([place * 64 + 8, 8, place * 64 + 56, 56], fill=color)
        picture.save(file, "WEBP", quality=60)
        strips.append(base64.b64encode(file.getvalue()).decode())
    return strips


def _index_row(number: int, strip: str, dice: random.Random) -> dict[str, Any]:
    from mvdiff.batch.keys import key_of
    from mvdiff.batch.results import run_folder

    name = f"shelf-{number % 37}/photo-{number:06d}.jpg"
    row: dict[str, Any] = {"key": key_of(name, ""), "photo": name, "state": "done", "seconds": dice.random() * 5}
    if number % 97 == 0:
        return row | {"state": "bad", "error": f"'{name}' is no picture: give one."}
    row |= {"folder": run_folder(row["key"]), "files": ["summary.json", "report.html"], "thumbnail": strip}
    return row | {"ambiguity": dice.random(), "modes": dice.randrange(1, 5), "novelty_p": dice.random(), "bytes": 1}


if __name__ == "__main__":
    sys.exit(main())
