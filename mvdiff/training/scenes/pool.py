"""The pool of scenes that workers renew: kept between runs, and unharmed by a scene that cannot be made."""

import json
import logging
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
from torch import Tensor

from mvdiff.data.scenes.stream import SceneStore, SceneStream
from recon.core.reading import MAX_ARRAYS, check_file, parse_json, reading

logger = logging.getLogger(__name__)

#: Failures in a row after which something else is wrong than a scene.
_FAILURES = 50
_KINDS = "kinds"


class Renewal:
    """Takes finished scenes into a stream's store; a scene whose making failed is named and left out."""

    def __init__(self, stream: SceneStream) -> None:
        self.stream, self.failures = stream, 0

    def take(self, count: int) -> int:
        """At most ``count`` scenes that are ready; returns how many there were."""
        try:
            taken = self.stream.refresh(count)
        except (ValueError, ArithmeticError, LookupError, RuntimeError, np.linalg.LinAlgError) as error:
            self.failures += 1
            logger.warning("A scene could not be made and is left out: %s", error)
            if self.failures >= _FAILURES:
                raise
            return 0
        self.failures = 0 if taken else self.failures
        return taken

    def fill(self, count: int) -> None:
        """Wait until the store holds ``count`` scenes."""
        while len(self.stream) < min(count, len(self.stream.store)):
            if not self.take(1):
                time.sleep(0.02)


def save_pool(stream: SceneStream, path: Path) -> None:
    """Write the scenes of a stream's store into one file."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    count = len(stream)
    save_file(
        {name: value[:count].cpu().contiguous() for name, value in _arrays(stream.store).items()},
        temporary,
        metadata={_KINDS: json.dumps(stream.store.kinds[:count])},
    )
    temporary.replace(path)


def load_pool(stream: SceneStream, path: Path) -> None:
    """Put scenes that :func:`save_pool` wrote into a stream's store, as many as fit; raises :class:`InputError`."""
    from safetensors import safe_open

    with reading(path, "pool of scenes", "remove it"), safe_open(check_file(path, MAX_ARRAYS), framework="pt") as file:
        kinds = parse_json(file.metadata()[_KINDS], list[str])[: len(stream.store)]
        for name, value in _arrays(stream.store).items():
            value[: len(kinds)] = file.get_slice(name)[: len(kinds)].to(value.device)
    stream.store.kinds[: len(kinds)] = kinds
    stream.count = len(kinds)


def _arrays(store: SceneStore) -> dict[str, Tensor]:
    values = {each.name: getattr(store, each.name) for each in fields(store)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}
