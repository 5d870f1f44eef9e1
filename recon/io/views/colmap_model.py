"""COLMAP's files: lenses and poses of a text or a binary model (Schönberger and Frahm 2016)."""

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from recon.core.errors import InputError
from recon.core.paths import exists, is_file
from recon.core.reading import read_bytes, read_text, reading
from recon.io.views.lens import Lens

_AGAIN = "export the model from COLMAP again"


@dataclass(frozen=True)
class Registered:
    """One registered picture."""

    where: str
    """Name of the file in messages."""
    name: str
    """Relative to the folder of pictures."""
    pose: tuple[float, ...]
    """World to camera: quaternion w x y z, then translation; the camera's axes are OpenCV's."""
    camera: int
    points: Int[np.ndarray, "p"]
    """Numbers of the sparse points that it shows."""


@dataclass(frozen=True)
class _Model:
    """Parameter order of a camera model: :class:`Lens` from a flat list."""

    count: int
    lens: Callable[[list[float]], dict] | None

    @staticmethod
    def one_focal(extra: int, fisheye: bool = False) -> "_Model":
        def lens(p: list[float]) -> dict:
            return {"focal": (p[0], p[0]), "center": (p[1], p[2]), "distortion": tuple(p[3:]), "fisheye": fisheye}

        return _Model(3 + extra, lens)

    @staticmethod
    def two_focals(extra: int, fisheye: bool = False) -> "_Model":
        def lens(p: list[float]) -> dict:
            return {"focal": (p[0], p[1]), "center": (p[2], p[3]), "distortion": tuple(p[4:]), "fisheye": fisheye}

        return _Model(4 + extra, lens)


#: In the order of the binary files' numbers; what no Lens can be is named and refused.
_MODELS = {
    "SIMPLE_PINHOLE": _Model.one_focal(0),
    "PINHOLE": _Model.two_focals(0),
    "SIMPLE_RADIAL": _Model.one_focal(1),
    "RADIAL": _Model.one_focal(2),
    "OPENCV": _Model.two_focals(4),
    "OPENCV_FISHEYE": _Model.two_focals(4, fisheye=True),
    "FULL_OPENCV": _Model.two_focals(8),
    "FOV": _Model(5, None),
    "SIMPLE_RADIAL_FISHEYE": _Model.one_focal(1, fisheye=True),
    "RADIAL_FISHEYE": _Model.one_focal(2, fisheye=True),
    "THIN_PRISM_FISHEYE": _Model(12, None),
    "RAD_TAN_THIN_PRISM_FISHEYE": _Model(16, None),
}


def _lens(model: str, width: float, height: float, parameters: list[float], where: str) -> Lens:
    kind = _MODELS.get(model)
    if kind is None or kind.lens is None:
        raise InputError(
            f"{where} uses the camera model {model}, which is not read here: undistort the pictures to PINHOLE first "
            "(colmap image_undistorter)."
        )
    if len(parameters) != kind.count:
        raise InputError(f"{where}: {model} has {kind.count} parameters, not {len(parameters)}.")
    try:
        return Lens(width, height, **kind.lens(parameters))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def read_text_model(folder: Path) -> tuple[dict[int, Lens], list[Registered]]:
    """``cameras.txt`` and ``images.txt``."""
    return dict(_text_cameras(folder / "cameras.txt")), list(_text_images(folder / "images.txt"))


def _text_cameras(path: Path) -> Iterator[tuple[int, Lens]]:
    for where, line in _lines(path):
        words = line.split()
        if len(words) < 5:
            raise InputError(f"{where} is no camera (number, model, width, height, parameters): {_AGAIN}.")
        number, width, height, *parameters = _numbers([words[0], *words[2:]], where)
        yield int(number), _lens(words[1], width, height, parameters, where)


def _text_images(path: Path) -> Iterator[Registered]:
    """A picture's line is followed by one of its points, which may be empty; hand-made files leave it out."""
    skip = False
    for (where, line), (_, following) in itertools.pairwise([*_lines(path), ("", "")]):
        if skip:
            skip = False
            continue
        words = line.split(maxsplit=9)
        if len(words) != 10:
            raise InputError(
                f"{where} is no picture (number, QW QX QY QZ, TX TY TZ, camera, name), nor points of one: {_AGAIN}."
            )
        _, *pose, camera = _numbers(words[:9], where)
        skip = _is_points(following)
        shown = np.array(following.split()[2::3] if skip else [], np.int64)
        yield Registered(where, words[9].strip(), tuple(pose), int(camera), shown[shown >= 0])


def _is_points(line: str) -> bool:
    """Whether a line holds triples X, Y, POINT3D_ID. A picture's name is hardly a number that ends such triples."""
    words = line.split()
    try:
        return bool(words) and len(words) % 3 == 0 and all(map(_is_number, words[:9])) and int(words[-1]) >= -1
    except ValueError:
        return False


def _is_number(word: str) -> bool:
    try:
        return bool(str(float(word)))
    except ValueError:
        return False


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is neither empty nor a comment, with its name in messages."""
    if not exists(path):
        raise InputError(f"'{path}' is missing: {_AGAIN}.")
    with reading(path, "text of a COLMAP model", _AGAIN):
        lines = read_text(path).splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield f"'{path}', line {number}", line


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f"{where} holds {' '.join(words)!r} where numbers belong: {_AGAIN}.") from error
    if not all(abs(number) < 1e15 for number in numbers):
        raise InputError(f"{where} holds NaN or infinity, or a number beyond all use: {_AGAIN}.")
    return numbers


def read_binary_model(folder: Path) -> tuple[dict[int, Lens], list[Registered]]:
    """``cameras.bin`` and ``images.bin``."""
    for name, read in (("cameras.bin", _binary_cameras), ("images.bin", _binary_images)):
        with reading(folder / name, "binary COLMAP model", _AGAIN):
            found = list(read(_Bytes(read_bytes(folder / name, 1 << 33)), f"'{folder / name}'"))
        if name == "cameras.bin":
            lenses = dict(found)
    return lenses, found


class _Bytes:
    """Little-endian values one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, form: str) -> tuple:
        values = struct.unpack_from("<" + form, self.data, self.place)
        self.place += struct.calcsize("<" + form)
        return values

    def text(self) -> str:
        end = self.data.index(b"\0", self.place)
        text = self.data[self.place : end].decode("utf-8", "surrogateescape")
        self.place = end + 1
        return text

    def rows(self, kind: list, count: int) -> np.ndarray:
        """``count`` records; more than the file can hold are refused before they are allocated."""
        start, size = self.place, np.dtype(kind).itemsize
        self.skip(count * size)
        return np.frombuffer(self.data, kind, count, start)

    def skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self.data):
            raise ValueError("it ends too early")


def _binary_cameras(data: _Bytes, path: str) -> Iterator[tuple[int, Lens]]:
    for _ in range(data.take("Q")[0]):
        number, kind, width, height = data.take("IiQQ")
        where = f"{path}, camera {number}"
        if not 0 <= kind < len(_MODELS):
            raise InputError(f"{where} uses the camera model number {kind}, which is unknown: {_AGAIN}.")
        name = list(_MODELS)[kind]
        yield number, _lens(name, width, height, list(data.take(f"{_MODELS[name].count}d")), where)


def _binary_images(data: _Bytes, path: str) -> Iterator[Registered]:
    for _ in range(data.take("Q")[0]):
        number, *pose, camera = data.take("I7dI")
        name = data.text()
        shown = data.rows([("x", "<f8"), ("y", "<f8"), ("point", "<i8")], data.take("Q")[0])["point"]
        yield Registered(f"{path}, picture {number}", name, tuple(pose), camera, shown[shown >= 0].astype(np.int64))


def read_points(folder: Path) -> dict[int, Float[np.ndarray, "3"]]:
    """World places of the sparse points by their numbers; none where the model has no ``points3D`` file."""
    if is_file(folder / "points3D.txt"):
        rows = [(where, line.split()) for where, line in _lines(folder / "points3D.txt")]
        short = next((where for where, words in rows if len(words) < 4), None)
        if short is not None:
            raise InputError(f"{short} has no point with a number and a place: {_AGAIN}.")
        return {int(n[0]): np.array(n[1:]) for n in (_numbers(words[:4], where) for where, words in rows)}
    path, points = folder / "points3D.bin", {}
    if not is_file(path):
        return points
    with reading(path, "binary COLMAP model", _AGAIN):
        data = _Bytes(read_bytes(path, 1 << 33))
        for _ in range(data.take("Q")[0]):
            number, *place = data.take("Q3d")
            data.skip(3 + 8)  # color and error
            data.skip(8 * data.take("Q")[0])  # its track
            points[number] = np.array(place)
    return points
