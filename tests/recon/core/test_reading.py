"""The reading layer: what is missing, special, too large, too deep or not what it says is one sentence."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from recon.core.errors import InputError
from recon.core.paths import exists, is_file, is_folder
from recon.core.reading import (
    MAX_DEPTH,
    parse_json,
    read_bytes,
    read_json,
    read_npz,
    read_safetensors,
    read_yaml,
    reading,
    reason,
)
from recon.core.views import ViewSet
from recon.io.images.files import load_image
from recon.io.meshes.files import load_mesh
from recon.io.views.files import load_views
from recon.posterior import load_posterior
from recon.posterior.calibration import Calibration

LONG = "n" * 300


def _npz(path: Path, header: str, data: bytes) -> Path:
    """An archive of one array whose header is ``header``."""
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", array)
    return path


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(300, 500)", "(-1,)", "(2, 1000000000, 1000000000000)"])
def test_arrays_that_are_larger_than_their_data_are_never_made(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"
    with pytest.raises(ValueError, match="its data are shorter"):
        read_npz(_npz(tmp_path / "a.npz", header, bytes(24)))


def test_arrays_that_unpack_to_more_than_the_limit_are_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1 << 20, np.uint8))
    assert read_npz(tmp_path / "a.npz")["a"].shape == (1 << 20,)
    with pytest.raises(ValueError, match="unpacks to"):
        read_npz(tmp_path / "a.npz", largest=1 << 16)


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([print], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", stream.getvalue())
    with pytest.raises(ValueError, match="data are shorter"):
        read_npz(tmp_path / "a.npz")


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    """A hole of 300 GB, read under a limit of 4 GiB of memory in another process."""
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", 300 << 30)
    for suffix in (".png", ".json", ".npz", ".safetensors", ".glb", ".yaml"):
        os.link(tmp_path / "big", tmp_path / f"big{suffix}")
    code = (
        "import sys, resource\nfrom pathlib import Path\nfrom recon.core.reading import *\n"
        "from recon.core.errors import InputError\nfrom recon.io.images.files import load_image\n"
        "from recon.io.meshes.files import load_mesh\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({4 << 30}, {4 << 30}))\nplace = Path(sys.argv[1])\n"
        "for name, read in (('json', read_json), ('npz', read_npz), ('safetensors', read_safetensors),\n"
        "                   ('yaml', read_yaml), ('png', load_image), ('glb', load_mesh)):\n"
        "    try:\n        with reading(place / f'big.{name}', 'file', 'x'):\n            read(place / f'big.{name}')\n"
        "    except InputError as error:\n        print('bytes are more than' in str(error), error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, encoding="utf-8")
    assert ended.stdout.count("True") == 6, ended.stdout + ended.stderr[-1000:]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)])
def test_deep_nesting_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError) as caught, reading(tmp_path / "a.json", "file", "make it again"):
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_numbers_are_finite_and_the_nesting_may_be_as_deep_as_said() -> None:
    for text in ("1e400", "NaN", "[Infinity]"):
        with pytest.raises(ValueError):  # noqa: PT011 - in the decoder's own words
            parse_json(text)
    assert parse_json("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)) is not None


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "data",
    [
        *(b"\xff\xfe", b"a: [1, 2\nb: }\nc\nd", b"!!python/object/apply:os.system ['true']", b"a: &a [*a, *a]"),
        b"[" * 500_000,
    ],
)
def test_bad_yaml_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    with pytest.raises(InputError) as caught, reading(tmp_path / "a.yaml", "file", "mend it"):
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(caught.value)


def test_aliases_do_not_multiply(tmp_path: Path) -> None:
    """Ten lists of ten times the same list: ten thousand million leaves, ten lists."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 10)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    assert len(read_yaml(tmp_path / "a.yaml")) == 10


READERS = {
    "a.json": lambda path: Calibration.load(path),
    "a.npz": lambda path: load_posterior(path),
    "a.safetensors": lambda path: ViewSet.load(path),
    "a.png": lambda path: load_image(path),
    "a.glb": lambda path: load_mesh(path),
    "a.obj": lambda path: load_mesh(path),
    "transforms.json": lambda path: load_views(path),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", READERS)
def test_special_files_and_names_that_no_file_has_are_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    places = [tmp_path / name, tmp_path / (LONG + Path(name).suffix), tmp_path / f"\0{name}"]
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / name).symlink_to("/dev/zero")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / name).symlink_to("/proc/self/environ")
    for place in (*places, tmp_path / "link" / name, tmp_path / "proc" / name):
        with pytest.raises(InputError) as caught:
            READERS[name](place)
        assert "\n" not in str(caught.value)


@pytest.mark.timeout(60)
def test_pictures_that_files_name_are_no_special_files_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.png")
    frames = [{"file_path": name, "transform_matrix": np.eye(4).tolist()} for name in ("0.png",)]
    (tmp_path / "transforms.json").write_text(json.dumps({"fl_x": 20, "w": 16, "h": 12, "frames": frames}))
    with pytest.raises(InputError):
        load_views(tmp_path / "transforms.json")


def test_names_that_nothing_can_have_are_nothing() -> None:
    for name in (LONG, "a\0b", "/" + "a/" * 5000):
        assert not any(asked(Path(name)) for asked in (exists, is_file, is_folder))


def test_reasons_are_short_and_plain() -> None:
    class Unspeakable(ValueError):
        def __str__(self) -> str:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    assert reason(Unspeakable()) == "Unspeakable"
    assert reason(ValueError("a\nb\x1b[31m" + "c" * 1000)).startswith("a b\\x1b[31mccc")
    assert len(reason(ValueError("c" * 1000))) < 300
    assert reason(MemoryError()) == "it needs more memory than there is"


def test_what_is_missing_is_not_called_damaged(tmp_path: Path) -> None:
    for read in (read_bytes, read_npz, read_safetensors, read_yaml):
        with pytest.raises(InputError, match="There is no thing"), reading(tmp_path / "a", "thing", "make it"):
            read(tmp_path / "a")
