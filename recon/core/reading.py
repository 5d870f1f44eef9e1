"""Files that were made elsewhere, or damaged since: looked at before they are read, checked before they are used.

Each reader refuses what is no regular file or too large, and speaks of damage in one sentence. Plain values are
checked against a type (a dataclass, ``dict[str, int]`` …) by msgspec, arrays against what their headers claim.
"""

import contextlib
import csv
import hashlib
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints, overload

import msgspec

from recon.core.errors import InputError
from recon.core.paths import exists, is_file, printable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

T = TypeVar("T")

#: Bytes of a file of plain values (JSON, YAML, CSV).
MAX_TEXT = 256 * 2**20
#: Bytes of a file of arrays, and of all its arrays unpacked.
MAX_ARRAYS = 64 * 2**30
#: How deep lists and mappings may lie in each other.
MAX_DEPTH = 64
_MAX_REASON = 200
_BRACKET = re.compile(r"[\[\]{}]")
_SPECIAL = (("proc",), ("sys",), ("dev",))

#: What decoders let out on damaged files.
READ_ERRORS = (
    *(OSError, EOFError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, AssertionError),
    *(
        RuntimeError,
        MemoryError,
        SyntaxError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        tokenize.TokenError,
        csv.Error,
    ),
)


@contextlib.contextmanager
def reading(path: Path, noun: str, remedy: str) -> Iterator[None]:
    """Turn whatever goes wrong inside the block into one :class:`InputError`.

    Args:
        path: the file or folder that is read.
        noun: what it should be, without article, as in "calibration".
        remedy: what the user can do, as in "run `mvdiff calibrate` again".
    """
    from safetensors import SafetensorError

    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no {noun} '{path}': check the path, or {remedy}.") from error
    except (*READ_ERRORS, SafetensorError) as error:
        raise InputError(f"'{path}' is no readable {noun} ({reason(error)}): {remedy}.") from error


def reason(error: BaseException) -> str:
    """An error's own words on one short line, without full stop."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    try:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    except UnicodeDecodeError:  # an error of OpenUSD quotes the bytes of the file
        text = type(error).__name__
    text = printable(" ".join(text.split())).rstrip(".")
    return text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + "…"


def check_file(path: Path, largest: int) -> Path:
    """``path`` itself. Raises ``OSError`` or ``ValueError`` for what is missing, special or larger than ``largest``."""
    if not is_file(path):
        if exists(path):
            raise ValueError("it is not an ordinary file")
        raise FileNotFoundError(2, "No such file", str(path))
    if path.resolve().parts[1:2] in _SPECIAL:  # endless, though they look like empty files
        raise ValueError("it is a special file")
    size = path.stat().st_size
    if size > largest:
        raise ValueError(f"its {size:,} bytes are more than {largest:,}")
    return path


def read_bytes(path: Path, largest: int = MAX_TEXT) -> bytes:
    """The content of a regular file of at most ``largest`` bytes."""
    return check_file(path, largest).read_bytes()


def read_text(path: Path, largest: int = MAX_TEXT) -> str:
    """UTF-8 text, with or without a byte order mark."""
    return read_bytes(path, largest).decode("utf-8-sig")


@overload
def read_json(path: Path) -> Any: ...
@overload
def read_json(path: Path, kind: type[T], largest: int = MAX_TEXT) -> T: ...
def read_json(path: Path, kind: Any = Any, largest: int = MAX_TEXT) -> Any:
    """A JSON file as ``kind``."""
    return parse_json(read_bytes(path, largest), kind)


@overload
def parse_json(data: bytes | str) -> Any: ...
@overload
def parse_json(data: bytes | str, kind: type[T]) -> T: ...
def parse_json(data: bytes | str, kind: Any = Any) -> Any:
    """Strict JSON as ``kind``: numbers are finite, nesting is bounded, types and ranges are those of ``kind``.

    Raises:
        ValueError: with the place of what does not fit.
        RecursionError: for nesting beyond the interpreter's stack.
    """
    raw = data.encode() if isinstance(data, str) else data
    return fit(msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf")), kind)


@overload
def read_yaml(path: Path) -> Any: ...
@overload
def read_yaml(path: Path, kind: type[T]) -> T: ...
def read_yaml(path: Path, kind: Any = Any) -> Any:
    """A YAML file as ``kind``; nothing in it can name code."""
    import yaml

    text = read_text(path, 2**20)
    _check_brackets(text)
    try:
        return fit(yaml.safe_load(text), kind)
    except yaml.YAMLError as error:
        raise ValueError(reason(error)) from error


def _check_brackets(text: str) -> None:
    """Raise ``ValueError`` for YAML that the scanner would take minutes for: its time grows with the open brackets."""
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


@overload
def fit(value: Any, kind: type[T]) -> T: ...
@overload
def fit(value: Any, kind: Any) -> Any: ...
def fit(value: Any, kind: Any) -> Any:
    """Plain values as ``kind``. Raises ``ValueError`` where they do not fit, or are nested beyond ``MAX_DEPTH``."""
    level = {id(value): value}
    for _ in range(MAX_DEPTH):
        # By identity: YAML's aliases let one list be reached in very many ways.
        level = {id(part): part for whole in level.values() for part in _parts(whole)}
        if not level:
            return value if kind is Any else msgspec.convert(value, kind, str_keys=True)
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _parts(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (part for part in inner if isinstance(part, dict | list))


def read_npz(path: Path, largest: int = MAX_ARRAYS) -> "dict[str, np.ndarray]":
    """The arrays of a ``.npz`` file, without pickles; headers are compared with sizes before anything is unpacked."""
    import numpy as np

    arrays, total = {}, 0
    with zipfile.ZipFile(check_file(path, largest)) as file:
        for entry in file.infolist():
            total += entry.file_size
            if total > largest or entry.file_size > 2**16 + 1100 * entry.compress_size:  # deflate's own limit is 1032
                raise ValueError(f"the array {entry.filename!r} unpacks to {entry.file_size:,} bytes")
            with file.open(entry) as stream:
                _check_header(stream, entry)
            with file.open(entry) as stream:
                arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays


def _check_header(stream: Any, entry: zipfile.ZipInfo) -> None:
    import numpy as np

    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    count = 1
    for side in shape:
        count *= side
    if min(shape, default=0) < 0 or kind.hasobject or count * kind.itemsize > entry.file_size:
        raise ValueError(f"the array {entry.filename!r} says that it is {kind} {list(shape)}, its data are shorter")


def read_safetensors(path: Path, largest: int = MAX_ARRAYS) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """Tensors and the header's texts."""
    from safetensors import safe_open

    with safe_open(check_file(path, largest), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def checked(noun: T) -> T:
    """``noun`` itself, a dataclass, if its arrays have the kinds and shapes of their annotations and fit each other.

    Raises ``ValueError`` with the first one that does not.
    """
    from jaxtyping import jaxtyped
    from torch import Tensor

    with jaxtyped("context"):
        for name, annotation in get_type_hints(type(noun)).items():
            value, kinds = getattr(noun, name), get_args(annotation) or (annotation,)
            if isinstance(value, Tensor) and not any(isinstance(value, kind) for kind in kinds):
                raise ValueError(f"{name} is {value.dtype} {list(value.shape)} instead of {kinds[0].__name__}")
    return noun


def check_finite(tensors: "dict[str, Tensor]") -> None:
    """Raise ``ValueError`` for NaN and infinities."""
    import torch

    odd = next((n for n, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()), None)
    if odd is not None:
        raise ValueError(f"{odd} holds NaN or infinity")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
