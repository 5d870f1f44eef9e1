"""Storage of a run's results, stage by stage, from which an interrupted run resumes."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from mvdiff.runs.result import GenerationResult
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import Sampled
from recon.core.views import ViewSet
from recon.posterior import Hypothesis


@runtime_checkable
class RunStore(Protocol):
    """Storage of one run: photo, samples, hypotheses, result, in this order.

    One typed method for each stage, rather than one ``save(stage, value)`` for all: a wrong value is then an error of
    types, and each stage keeps its own file layout to itself. Nothing else knows that layout.
    """

    @property
    def complete(self) -> bool:
        """Whether the result is there."""
        ...

    def save_photo(self, reference: ReferenceImage, photo: Any) -> None: ...

    def load_sample(self, index: int) -> Sampled | None:
        """The sample [1] of hypothesis ``index``, or None where it is still to be drawn."""
        ...

    def save_samples(self, samples: Mapping[int, Sampled]) -> None: ...

    def load_hypotheses(self, views: ViewSet) -> list[Hypothesis] | None:
        """The reconstructed hypotheses with their ``views`` [n v], or None before they are saved."""
        ...

    def save_hypotheses(self, hypotheses: Sequence[Hypothesis]) -> None: ...

    def save_result(self, result: GenerationResult, device: str) -> None:
        """Write what users look at, and mark the run as complete."""
        ...

    def load_result(self) -> GenerationResult: ...

    def note(self, **entries: Any) -> None:
        """Keep facts about the run, such as a number of hypotheses that was found to be enough."""
        ...

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage took, in this process or an interrupted one."""
        ...


class MemoryStore:
    """A :class:`RunStore` in memory: for notebooks, evaluation and servers that keep nothing."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.notes: dict[str, Any] = {}
        self._samples: dict[int, Sampled] = {}
        self._hypotheses: list[Hypothesis] | None = None
        self._result: GenerationResult | None = None

    @property
    def complete(self) -> bool:
        return self._result is not None

    def save_photo(self, reference: ReferenceImage, photo: Any) -> None:
        """Nothing: the result holds the reference."""

    def load_sample(self, index: int) -> Sampled | None:
        return self._samples.get(index)

    def save_samples(self, samples: Mapping[int, Sampled]) -> None:
        self._samples |= samples

    def load_hypotheses(self, views: ViewSet) -> list[Hypothesis] | None:
        return self._hypotheses

    def save_hypotheses(self, hypotheses: Sequence[Hypothesis]) -> None:
        self._hypotheses = list(hypotheses)

    def save_result(self, result: GenerationResult, device: str) -> None:
        self._result = result

    def load_result(self) -> GenerationResult:
        assert self._result is not None, "the run is not complete"
        return self._result

    def note(self, **entries: Any) -> None:
        self.notes |= entries

    def add_seconds(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
