"""Streaming: the same window over the same sequence, from wherever it starts."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from mvdiff.data.render.record import RecordConfig
from mvdiff.data.stores import store
from mvdiff.data.stores.shards import ShardReader
from mvdiff.data.stores.store import ViewStore
from mvdiff.data.stores.stream import ViewStream
from recon.core.errors import InputError

TINY = RecordConfig(size=16, supersample=1, ring_views=6, references=2)


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> ShardReader:
    filled = ViewStore.empty(7, TINY)
    for index in range(7):
        filled.targets[index] = index
        filled.names[index] = f"set/{index}"
    folder = tmp_path_factory.mktemp("views")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SHARD_OBJECTS", 2)
        filled.save(folder)
    return ShardReader(folder)


def contents(stream: ViewStream) -> list[int]:
    """The first pixel of each object; names must agree with the pictures."""
    values = stream.store.targets[:, 0, 0, 0, 0].tolist()
    assert stream.store.names == [f"set/{value}" for value in values]
    return values


def test_every_object_comes_once_an_epoch(reader: ShardReader):
    stream = ViewStream([reader], 1, seed=3)
    sequence = []
    for _ in range(21):
        sequence += contents(stream)
        stream.refresh(1)
    stream.close()
    epochs = [sequence[start : start + 7] for start in (0, 7, 14)]
    assert all(Counter(epoch) == Counter(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_sought_window_is_the_one_that_came_to_be(reader: ShardReader):
    walked, sought = ViewStream([reader], 3, seed=5), ViewStream([reader], 3, seed=5)
    for steps in range(1, 12):
        walked.refresh(2)
        sought.seek(2 * steps)
        assert contents(walked) == contents(sought)
        assert walked.count == sought.count == 2 * steps
    walked.close()
    sought.close()


def test_held_out_objects_never_come(reader: ShardReader):
    stream = ViewStream([reader], 4, seed=0, left_out={"set/1", "set/6"})
    assert stream.epoch_objects == 5
    seen = set()
    for _ in range(10):
        seen |= set(contents(stream))
        stream.refresh(1)
    stream.close()
    assert seen == {0, 2, 3, 4, 5}


def test_a_shard_that_breaks_is_told_where_it_is_needed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(store, "SHARD_OBJECTS", 2)
    whole = ViewStore.empty(4, TINY)
    whole.names = ["a", "b", "c", "d"]
    whole.targets[2:] = torch.ones_like(whole.targets[2:])
    whole.save(tmp_path)
    (tmp_path / "shard-00001.tar").unlink()
    with pytest.raises(InputError, match="shard 1"):
        ViewStream([ShardReader(tmp_path)], 4, seed=0)


def test_an_empty_window_is_refused(reader: ShardReader):
    with pytest.raises(InputError, match="room"):
        ViewStream([reader], 0, seed=0)
    with pytest.raises(InputError, match="room"):
        ViewStream([reader], 2, seed=0, left_out={f"set/{k}" for k in range(7)})
