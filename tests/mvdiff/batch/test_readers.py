"""Listings of all kinds name the same photos with the same bytes."""

import functools
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mvdiff.batch.readers.listing import open_listing
from mvdiff.batch.readers.photo import Photo
from recon.core.errors import InputError

NAMES = ["a.png", "b.png", "more/c.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(name.encode())
    (tmp_path / "data/notes.md").write_text("no picture")
    (tmp_path / "data/.hidden.png").write_text("no picture")
    return tmp_path / "data"


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The folder behind a real HTTP server."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    made.server_close()


def everything(url: str | Path, column: str | None = None) -> dict[str, bytes]:
    return {photo.name: photo.fetch() for photo in open_listing(str(url), column).photos(lambda _: True)}


def plain() -> dict[str, bytes]:
    return {name: name.encode() for name in NAMES}


def write_tar(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            for suffix, data in ((name, name.encode()), (f"{name}.txt", b"a caption")):
                info = tarfile.TarInfo(suffix)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def test_a_folder_and_its_subfolders(folder: Path) -> None:
    assert everything(folder) == plain()
    assert open_listing(str(folder)).count() == 3
    assert everything(f"file://{folder}") == plain()


def test_lines_of_text_start_at_the_listing(folder: Path) -> None:
    (folder / "list.txt").write_text("\ufeff# comment\n" + "\n".join(NAMES) + "\n")
    assert everything(folder / "list.txt") == plain()
    (folder / "absolute.txt").write_text(str(folder / "a.png"))
    assert everything(folder / "absolute.txt") == {str(folder / "a.png"): b"a.png"}


@pytest.mark.parametrize(("suffix", "comma"), [(".csv", ","), (".tsv", "\t")])
def test_tables_by_their_column(folder: Path, suffix: str, comma: str) -> None:
    path = (folder / "list").with_suffix(suffix)
    lines = [comma.join(("id", "Image_URL")), *(comma.join((str(k), name)) for k, name in enumerate(NAMES))]
    path.write_text("\n".join(lines))
    assert everything(path) == plain()
    assert everything(path, "Image_URL") == plain()
    with pytest.raises(InputError, match=r"has no column photo \(columns: id, Image_URL\): pass --column NAME"):
        everything(path, "photo")


def test_parquet_of_paths_of_bytes_and_of_pairs(folder: Path) -> None:
    pq.write_table(pa.table({"path": NAMES}), folder / "paths.parquet")
    assert everything(folder / "paths.parquet") == plain()
    data = [name.encode() for name in NAMES]
    pq.write_table(pa.table({"image": data}), folder / "bytes.parquet", row_group_size=2)
    assert everything(folder / "bytes.parquet") == {f"bytes.parquet/{k}": each for k, each in enumerate(data)}
    pairs = [{"bytes": each, "path": None} for each in data]
    pq.write_table(pa.table({"image": pairs}), folder / "pairs.parquet")
    assert list(everything(folder / "pairs.parquet").values()) == data


def test_row_groups_of_which_nothing_is_wanted_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image": [b"x"] * 10}), folder / "bytes.parquet", row_group_size=2)
    read, plainly = [], pq.ParquetFile.iter_batches

    def spy(self, *args, **options):
        read.extend(options["row_groups"])
        return plainly(self, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    listing = open_listing(str(folder / "bytes.parquet"))
    assert [p.name for p in listing.photos(lambda name: name.endswith("/5"))] == ["bytes.parquet/5"]
    assert read == [2]


def test_tar_shards_by_pattern_by_number_and_by_folder(folder: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    write_tar(shards / "shard-000.tar", NAMES[:2])
    write_tar(shards / "shard-001.tar", NAMES[2:])
    expected = {f"shard-00{k // 2}.tar/{name}": name.encode() for k, name in enumerate(NAMES)}
    assert everything(shards) == everything(f"{shards}/shard-*.tar") == expected
    assert everything(f"{shards}/shard-{{000..001}}.tar") == expected
    assert open_listing(str(shards)).count() is None


def test_workers_read_a_range_of_a_shard_by_http(folder: Path, server: str) -> None:
    pytest.importorskip("aiohttp", reason="the extra batch is not installed")
    write_tar(folder / "shard.tar", NAMES)
    # Python's own server knows no ranges: what comes instead must be noticed, not taken for the photo.
    photo = Photo("x", f"{server}/shard.tar", 512, 5)
    with pytest.raises(Exception, match=r"bytes were read|range|Range"):
        photo._read()


def test_listings_by_http(folder: Path, server: str) -> None:
    pytest.importorskip("aiohttp", reason="the extra batch is not installed")
    (folder / "list.txt").write_text("a.png\nmore/c.jpg\n")
    assert everything(f"{server}/list.txt") == {"a.png": b"a.png", "more/c.jpg": b"more/c.jpg"}


def test_a_listing_from_elsewhere_names_no_files_of_this_machine(folder: Path, server: str) -> None:
    pytest.importorskip("aiohttp", reason="the extra batch is not installed")
    for number, line in enumerate([str(folder / "a.png"), f"file://{folder}/a.png", "zip://a::file:///etc/hosts"]):
        (folder / f"{number}.txt").write_text(line)
        (photo,) = open_listing(f"{server}/{number}.txt").photos(lambda _: True)
        with pytest.raises(ValueError, match="cannot name files of this machine"):
            photo.fetch()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "There is nothing at"),
        ("notes.md", "is neither a folder nor a listing"),
        ("x*.tar", "Nothing matches"),
        ("missing.txt", "There is nothing at"),
        ("missing.tar", "is no readable tar shard"),
        ("bad.tar", "is no readable tar shard"),
        ("bad.parquet", "is no readable parquet file"),
        ("photos.tar.gz", "is compressed"),
        ("s{a..b}.tar", "give two numbers"),
        ("zip://x::y", "chains file systems"),
    ],
)
def test_what_is_no_listing_is_refused_in_one_sentence(folder: Path, name: str, words: str) -> None:
    for bad in ("bad.tar", "bad.parquet", "photos.tar.gz"):
        (folder / bad).write_bytes(b"neither" * 200)
    url = name if "::" in name else str(folder / name)
    with pytest.raises(InputError, match=words):
        everything(url)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        open_listing(str(tmp_path))
