"""The pool of scenes: kept between runs, and unharmed by a scene that cannot be made."""

import pytest
import torch
from box_rooms import box_stream

from mvdiff.training.scenes.pool import Renewal, load_pool, save_pool
from recon.core.errors import InputError

SIZE = 16


def drain(renewal: Renewal, turns: int) -> None:
    for _ in range(turns):
        renewal.take(1)


def test_a_pool_comes_back_as_it_was_also_into_a_smaller_one(tmp_path):
    stream = box_stream(3, SIZE)
    save_pool(stream, tmp_path / "pool.safetensors")
    for capacity in (3, 2, 4):
        other = box_stream(capacity, SIZE)
        other.count = 0
        for value in (other.store.rgba, other.store.depth):
            value.zero_()
        load_pool(other, tmp_path / "pool.safetensors")
        kept = min(3, capacity)
        assert len(other) == kept
        assert torch.equal(other.store.rgba[:kept], stream.store.rgba[:kept])
        assert torch.equal(other.store.c2w[:kept], stream.store.c2w[:kept])
        assert other.store.kinds[:kept] == ["room"] * kept
    (tmp_path / "pool.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="remove it"):
        load_pool(stream, tmp_path / "pool.safetensors")


def test_a_scene_that_cannot_be_made_is_left_out_but_not_all_of_them(monkeypatch, caplog):
    stream = box_stream(2, SIZE)
    answers = [ValueError("no room to stand"), 1]

    def refresh(count: int = 1) -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        stream.count += answer
        return answer

    monkeypatch.setattr(stream, "refresh", refresh)
    stream.count = 1
    Renewal(stream).fill(2)
    assert len(stream) == 2
    assert "no room to stand" in caplog.text
    answers += [ValueError("none")] * 100
    renewal = Renewal(stream)
    assert [renewal.take(1) for _ in range(49)] == [0] * 49
    with pytest.raises(ValueError, match="none"):
        renewal.take(1)
