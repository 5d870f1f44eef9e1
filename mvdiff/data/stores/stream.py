"""Data sets larger than memory: a window that moves over an endless, shuffled sequence of their objects."""

import queue
import threading
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import torch

from mvdiff.data.stores.shards import ShardObject, ShardReader
from mvdiff.data.stores.store import ViewStore, joined_config
from recon.core.errors import InputError


class ViewStream:
    """Keeps ``capacity`` objects in ``store``; each refresh replaces the oldest by the next ones.

    At position p the store holds objects p to p + capacity of a sequence that depends on the seed alone, so that a
    resumed run sees what the unbroken one would have seen. Shards are shuffled in each epoch, and read in a thread.
    """

    def __init__(
        self,
        readers: Sequence[ShardReader],
        capacity: int,
        seed: int,
        device: torch.device | str = "cpu",
        left_out: AbstractSet[str] = frozenset(),
    ) -> None:
        self._readers, self._seed, self._left_out = list(readers), seed, left_out
        self._shards = [(reader, number) for reader in self._readers for number in range(len(reader.shards))]
        self._sizes = [
            sum(origin["name"] not in left_out for origin in reader.shards[number].origins)
            for reader, number in self._shards
        ]
        if capacity < 1 or not sum(self._sizes):
            raise InputError(f"A stream needs objects and room for them: got {sum(self._sizes)} and {capacity}.")
        self.store = ViewStore.empty(capacity, joined_config(reader.config for reader in self._readers), device)
        self._reading: _ReadAhead | None = None
        self.count = 0
        """Objects replaced so far."""
        self.seek(0)

    @property
    def epoch_objects(self) -> int:
        return sum(self._sizes)

    def seek(self, position: int) -> None:
        """Fill the store with what it holds after ``position`` objects were replaced."""
        self.close()
        self.count = position
        self._reading = _ReadAhead(self._objects(position))
        for offset in range(len(self.store)):
            self._put(position + offset)

    def refresh(self, count: int) -> None:
        for _ in range(count):
            self._put(self.count + len(self.store))
            self.count += 1

    def close(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _put(self, number: int) -> None:
        item = self._reading.next()
        self.store.put(number % len(self.store), item.record, item.name)

    def _objects(self, position: int) -> Iterator[ShardObject]:
        """The endless sequence from ``position`` on; whole shards before it are not even opened."""
        epoch, skip = divmod(position, self.epoch_objects)
        while True:
            generator = torch.Generator().manual_seed((self._seed * 1_000_003 + epoch) % 2**63)
            for place in torch.randperm(len(self._shards), generator=generator).tolist():
                if skip >= self._sizes[place]:
                    skip -= self._sizes[place]
                    continue
                reader, number = self._shards[place]
                kept = (item for item in reader.read(number) if item.name not in self._left_out)
                for index, item in enumerate(kept):
                    if index >= skip:
                        yield item
                skip = 0
            epoch += 1


class _ReadAhead:
    """Draws from an iterator in a thread, a few items ahead; its errors come out where the item would have."""

    def __init__(self, items: Iterator[ShardObject], ahead: int = 32) -> None:
        self._queue: queue.Queue[ShardObject | BaseException] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), daemon=True)
        self._thread.start()

    def next(self) -> ShardObject:
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            self._drain()
            self._thread.join(0.05)

    def _drain(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()

    def _work(self, items: Iterator[ShardObject]) -> None:
        try:
            for item in items:
                if not self._offer(item):
                    return
        except (InputError, OSError, RuntimeError) as error:
            self._offer(error)

    def _offer(self, item: ShardObject | BaseException) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
