"""Damaged files end in one sentence: never in another error, a socket, or a hang."""

import socket
import warnings
from pathlib import Path

import pytest
from mutate import mutated
from readers import readers

from recon.core.errors import InputError

CASES = 20


@pytest.fixture(autouse=True)
def no_network(monkeypatch) -> None:
    def refuse(*arguments):
        raise AssertionError(f"a socket was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", list(readers()))
def test_damage_is_one_sentence(name: str, tmp_path: Path):
    reader = readers()[name]
    path = reader.make(tmp_path)
    good = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.read(path)
        for seed in range(CASES):
            path.write_bytes(mutated(good, seed))
            told = ""
            try:
                reader.read(path)
            except InputError as error:
                told = str(error)
            assert "\n" not in told, f"seed {seed}: {told}"


def test_damage_depends_on_its_seed_alone():
    assert [mutated(b'{"a": 1}', k) for k in range(50)] == [mutated(b'{"a": 1}', k) for k in range(50)]
