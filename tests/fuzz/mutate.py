"""Seeded damage to files: cut, flipped, doubled, and numbers and words of text replaced by bad ones."""

import random
import re

_WORDS = (
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"0",
    b"1e400",
    b"NaN",
    b"999999999999",
    b'"x"',
    b'"../x"',
    b"true",
    b"\xff",
    b"\x00",
)
_TOKEN = re.compile(rb'-?\d+(?:\.\d+)?(?:e-?\d+)?|"[^"\n]{0,60}"')


def mutated(data: bytes, seed: int) -> bytes:
    """``data`` with one to three kinds of damage; the same for the same ``seed``."""
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 3)):
        data = dice.choice(_KINDS)(data, dice)
    return data


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _flip(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randint(1, 8) if data else 0):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _double(data: bytes, dice: random.Random) -> bytes:
    start, end = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:end] + data[end:]


def _word(data: bytes, dice: random.Random) -> bytes:
    found = list(_TOKEN.finditer(data[:20_000]))
    if not found:
        return _flip(data, dice)
    token = dice.choice(found)
    return data[: token.start()] + dice.choice(_WORDS) + data[token.end() :]


def _deep(data: bytes, dice: random.Random) -> bytes:
    return b"[" * 50_000 + data


_KINDS = (_cut, _flip, _double, _word, _word, _word, _deep)
