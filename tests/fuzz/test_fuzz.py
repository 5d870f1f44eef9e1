"""Damaged files end in one sentence: never in another error, a socket, or a hang."""

import socket
import sys
import warnings
from fnmatch import fnmatch
from pathlib import Path

import pytest
from mutate import mutated
from openers import EXEMPT, openers
from readers import readers

from recon.core.errors import InputError

READERS = readers()


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> None:
    def refuse(*arguments):
        raise AssertionError(f"a socket was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", list(READERS))
def test_damage_is_one_sentence(name: str, tmp_path: Path):
    reader = READERS[name]
    path = reader.make(tmp_path)
    good = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.read(path)
        for seed in range(reader.cases):
            path.write_bytes(mutated(good, seed))
            told = ""
            try:
                reader.read(path)
            except InputError as error:
                told = str(error)
            assert "\n" not in told, f"seed {seed}: {told}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_function_that_opens_files_is_reached(tmp_path: Path):
    """By the reading of good files; new readers belong into the list, or with a reason among the exempt."""
    called: set[str] = set()

    def note(frame, event: str, argument: object) -> None:
        if event == "call":
            code = frame.f_code
            called.add(f"{frame.f_globals.get('__name__')}:{code.co_qualname.replace('.<locals>', '')}")

    for number, reader in enumerate(READERS.values()):
        (folder := tmp_path / str(number)).mkdir()
        path = reader.make(folder)
        sys.setprofile(note)
        try:
            reader.read(path)
        finally:
            sys.setprofile(None)
    found = {name for name, _ in openers()}
    missing = {name for name in found - called if not any(fnmatch(name, exempt) for exempt in EXEMPT)}
    assert not missing, f"add readers of {sorted(missing)}"
    stale = {exempt for exempt in EXEMPT if not any(fnmatch(name, exempt) for name in found)}
    assert not stale, f"these open nothing: {sorted(stale)}"


def test_damage_depends_on_its_seed_alone():
    assert [mutated(b'{"a": 1}', k) for k in range(50)] == [mutated(b'{"a": 1}', k) for k in range(50)]
