"""Reading the PLY container (Turk 1994): ASCII, and binary of either byte order."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

_KINDS = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4"},
    **{"uint32": "u4", "float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class Lists:
    """A list property: the values of all rows one after the other."""

    counts: Int[np.ndarray, "k"]
    values: np.ndarray


@dataclass
class Element:
    """The rows of one element, by property."""

    count: int
    scalars: dict[str, np.ndarray] = field(default_factory=dict)
    lists: dict[str, Lists] = field(default_factory=dict)


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str
    count_kind: str | None = None


@dataclass(frozen=True)
class Ply:
    elements: dict[str, Element]
    textures: list[str]
    """Pictures named in comments, as MeshLab and others do."""


def parse_ply(data: bytes) -> Ply:
    """All elements of a file.

    Raises:
        ValueError: The header or the data is damaged.
    """
    head, body = _split(data)
    form, stated, textures = _header(head)
    if form == "ascii":
        return Ply(_ascii(body, stated), textures)
    if form not in _ORDERS:
        raise ValueError(f"the PLY format '{form[:20]}' is unknown")
    elements, offset = {}, 0
    for name, count, properties in stated:
        elements[name], offset = _binary(body, offset, count, properties, _ORDERS[form])
    return Ply(elements, textures)


def _split(data: bytes) -> tuple[str, bytes]:
    end = data.find(b"end_header")
    line = data.find(b"\n", end)
    if data[:3] != b"ply" or end < 0:
        raise ValueError("it has no PLY header")
    if line < 0 or data[end + 10 : line].strip():  # old Mac line ends
        line = data.find(b"\r", end)
    return data[:end].decode("utf-8", "replace"), data[line + 1 :]


def _header(text: str) -> tuple[str, list[tuple[str, int, list[_Property]]], list[str]]:
    form, elements, textures = "", [], []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            form = words[1]
        elif words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:2] == ["property", "list"]:
            elements[-1][2].append(_Property(words[4], _KINDS[words[3]], _KINDS[words[2]]))
        elif words[:1] == ["property"]:
            elements[-1][2].append(_Property(words[2], _KINDS[words[1]]))
        elif len(words) > 2 and words[0] == "comment" and words[1].lower().rstrip(":") in ("texturefile", "texture"):
            textures.append(line.split(None, 2)[2].strip())
    if any(count < 0 for _, count, _ in elements):
        raise ValueError("an element has a negative count")
    return form, elements, textures


def _binary(body: bytes, offset: int, count: int, properties: list[_Property], order: str) -> tuple[Element, int]:
    """One element, and where the next one begins. Rows of one layout are read at once."""
    lists = [p for p in properties if p.count_kind is not None]
    lengths = _first_lengths(body, offset, properties, order) if count and lists else {}
    fields = []
    for p in properties:
        if p.count_kind is not None:
            fields.append((f"#{p.name}", order + p.count_kind))
        fields.append((p.name, order + p.kind, (lengths[p.name],) if p.name in lengths else ()))
    kind = np.dtype(fields)
    if offset + count * kind.itemsize <= len(body):
        rows = np.frombuffer(body, kind, count, offset)
        if all((rows[f"#{p.name}"] == lengths[p.name]).all() for p in lists if count):
            return _uniform(rows, properties), offset + rows.nbytes
    if not lists:
        raise ValueError("it ends before its data")
    return _ragged(body, offset, count, properties, order)


def _first_lengths(body: bytes, offset: int, properties: list[_Property], order: str) -> dict[str, int]:
    element, _ = _ragged(body, offset, 1, properties, order)
    return {name: int(each.counts[0]) for name, each in element.lists.items()}


def _uniform(rows: np.ndarray, properties: list[_Property]) -> Element:
    element = Element(len(rows))
    for p in properties:
        if p.count_kind is None:
            element.scalars[p.name] = rows[p.name]
        else:
            element.lists[p.name] = Lists(rows[f"#{p.name}"].astype(np.int64), rows[p.name].reshape(-1))
    return element


def _ragged(body: bytes, offset: int, count: int, properties: list[_Property], order: str) -> tuple[Element, int]:
    """Rows whose lists differ in length: a walk over the counts, then one gathering of each property."""
    if count > len(body) - offset:
        raise ValueError("it ends before its data")
    starts: list[list[int]] = [[] for _ in properties]
    counts: list[list[int]] = [[] for _ in properties]
    sizes = [np.dtype(p.kind).itemsize for p in properties]
    read = [_counter(body, p.count_kind, order) for p in properties]
    for _ in range(count):
        for i, (size, counter) in enumerate(zip(sizes, read, strict=True)):
            number = 1
            if counter is not None:
                number, offset = counter(offset)
            starts[i].append(offset)
            counts[i].append(number)
            offset += size * number
        if offset > len(body):
            raise ValueError("it ends before its data")
    element, raw = Element(count), np.frombuffer(body, np.uint8)
    for i, p in enumerate(properties):
        number = np.array(counts[i], np.int64)
        before = np.repeat(np.cumsum(number) - number, number)
        place = np.repeat(np.array(starts[i], np.int64), number) + (np.arange(number.sum()) - before) * sizes[i]
        values = raw[place[:, None] + np.arange(sizes[i])].view(order + p.kind).reshape(-1)
        if p.count_kind is None:
            element.scalars[p.name] = values
        else:
            element.lists[p.name] = Lists(number, values)
    return element, offset


def _counter(body: bytes, kind: str | None, order: str) -> Callable[[int], tuple[int, int]] | None:
    """A function that reads a list's length and returns where its values begin."""
    if kind is None:
        return None
    size, side = np.dtype(kind).itemsize, "little" if order == "<" else "big"

    def read(offset: int) -> tuple[int, int]:
        number = int.from_bytes(body[offset : offset + size], side)
        if number > len(body):
            raise ValueError("a list is longer than the file")
        return number, offset + size

    return read


def _ascii(body: bytes, stated: list[tuple[str, int, list[_Property]]]) -> dict[str, Element]:
    lines = [line for line in body.decode("utf-8", "replace").splitlines() if line.strip()]
    elements, begin = {}, 0
    for name, count, properties in stated:
        rows = [line.split() for line in lines[begin : begin + count]]
        if len(rows) < count:
            raise ValueError("it ends before its data")
        begin += count
        elements[name] = _ascii_rows(rows, properties)
    return elements


def _ascii_rows(rows: list[list[str]], properties: list[_Property]) -> Element:
    element = Element(len(rows))
    if all(p.count_kind is None for p in properties):
        table = np.array([row[: len(properties)] for row in rows], np.float64).reshape(-1, len(properties))
        element.scalars = {p.name: table[:, i].astype(p.kind) for i, p in enumerate(properties)}
        return element
    found: list[list[str]] = [[] for _ in properties]
    counts: list[list[int]] = [[] for _ in properties]
    for row in rows:
        place = 0
        for i, p in enumerate(properties):
            number = 1
            if p.count_kind is not None:
                number, place = int(row[place]), place + 1
            if not 0 <= number <= len(row) - place:
                raise ValueError("a row is shorter than it states")
            counts[i].append(number)
            found[i] += row[place : place + number]
            place += number
    for i, p in enumerate(properties):
        values = np.array(found[i], np.float64).astype(p.kind)
        if p.count_kind is None:
            element.scalars[p.name] = values
        else:
            element.lists[p.name] = Lists(np.array(counts[i], np.int64), values)
    return element
