"""Stable names of photos: where a result lies follows from the photo's place in its listing and the settings."""

import hashlib
import json
import re
from typing import Any

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_DIGITS = 20


def settings_hash(settings: dict[str, Any]) -> str:
    """SHA-256 of JSON values, independent of the order of their names."""
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(name: str, settings: str) -> str:
    """Key of a photo: a readable beginning, a dash, and 80 bits of the hash of ``name`` and the ``settings``' hash."""
    digest = hashlib.sha256(f"{settings}\n{name}".encode(errors="surrogateescape")).hexdigest()[:_DIGITS]
    stem = name.rstrip("/").rpartition("/")[2].split("?")[0].rpartition(".")
    readable = _ODD.sub("-", stem[0] or stem[2]).strip("-.")[:40] or "photo"
    return f"{readable}-{digest}"


def digest_of(key: str) -> bytes:
    """The hash inside a key, as the driver remembers it (10 bytes)."""
    return bytes.fromhex(key[-_DIGITS:])


def shard_of(key: str) -> str:
    """One of 256 subfolders, so that no folder has hundreds of thousands of entries."""
    return key[-_DIGITS:][:2]


def is_key(text: str) -> bool:
    """Whether ``text`` has the form of :func:`key_of`."""
    return re.fullmatch(rf"[A-Za-z0-9._-]+-[0-9a-f]{{{_DIGITS}}}", text) is not None
