"""Outcome of one run of the driver."""

from dataclasses import dataclass

from mvdiff.batch.summary import Totals


@dataclass
class Tally:
    """Counts of one run of the driver."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    """Photos whose results were there."""
    deaths: int = 0
    """Workers that ended unexpectedly."""
    workers: int = 0
    busy: float = 0.0
    """Seconds that workers worked, all together."""
    wall: float = 0.0
    """Seconds from the first photo given out to the last one back."""
    served: float = 0.0
    """Seconds for which workers were ready, all together."""

    @property
    def working(self) -> float | None:
        """Share of the workers' time that was spent working."""
        return self.busy / self.served if self.served else None


@dataclass(frozen=True)
class BatchResult:
    """Outcome of a batch."""

    tally: Tally
    totals: Totals
