"""The recorded scenes that a run trains and validates on."""

import glob
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from mvdiff.data.scenes.stream import SceneStream, SceneStreamConfig
from mvdiff.training.scenes.batch import SceneArrays, SceneBatch, draw_batch
from mvdiff.training.scenes.config import SceneBatchConfig, SceneDataConfig, SceneMixture
from mvdiff.training.scenes.pool import Renewal, load_pool, save_pool
from recon.core.errors import InputError
from recon.core.paths import is_file

#: Scenes that may enter the pool in one step.
_PER_STEP = 4


class ScenePictures:
    """Groups of views from a pool of scenes that workers renew, and from held-out scenes."""

    def __init__(
        self,
        stream: SceneStream,
        held_out: SceneArrays | None,
        config: SceneBatchConfig,
        renewed: bool = True,
        keep: Path | None = None,
    ) -> None:
        """``held_out`` is None where nobody validates; a pool that is not ``renewed`` stays as it is.

        ``keep``: the file that gets the pool at the end.
        """
        self.stream, self.held_out, self.config, self.keep = stream, held_out, config, keep
        self._renewal = Renewal(stream) if renewed else None

    @property
    def device(self) -> torch.device:
        return self.stream.store.rgba.device

    @property
    def refreshed(self) -> int:
        return self.stream.count

    def batch(self, size: int, generator: torch.Generator, device: torch.device) -> SceneBatch:
        return draw_batch(self.stream.store, len(self.stream), size, generator, self.config).to(device)

    def validation_batch(self, size: int, device: torch.device, mixture: SceneMixture | None = None) -> SceneBatch:
        """The same groups of held-out scenes every time, of ``mixture``'s tasks."""
        generator = torch.Generator(self.held_out.rgba.device).manual_seed(0)
        config = SceneBatchConfig(
            **(vars(self.config) | {"augment_photo": 0.0, "exposure": 0.0, "mixture": mixture or self.config.mixture})
        )
        return draw_batch(self.held_out, len(self.held_out.rgba), size, generator, config).to(device)

    def refresh(self) -> None:
        if self._renewal is not None:
            self._renewal.take(_PER_STEP)

    def seek(self, step: int) -> None:
        """Scenes are used in the order in which they are rendered, so a resumed run sees others."""

    def summary(self) -> dict[str, Any]:
        """For the model card."""
        kinds = Counter(self.stream.store.kinds)
        own = {f"own procedural scenes: {kind}": number for kind, number in sorted(kinds.items())}
        held_out = 0 if self.held_out is None else len(self.held_out.rgba)
        return {"objects": self.stream.count, "held_out": held_out, "licences": own}

    def close(self) -> None:
        self.stream.close()
        if self.keep is not None:
            save_pool(self.stream, self.keep)


def load_scenes(
    data: SceneDataConfig, batch: SceneBatchConfig, seed: int, device: torch.device, process_index: int
) -> ScenePictures:
    """Record the first scenes of the pool and, for the process that validates, the held-out ones.

    Every process has scenes of its own. Workers go on with the pool while training runs.
    """
    packs = tuple(sorted(Path(path) for pattern in data.packs for path in glob.glob(pattern)))
    if data.packs and not packs:
        raise InputError(f"No mesh pack matches {', '.join(data.packs)}: mend scenes.data.packs or leave it out.")
    first_seed = data.seed + (seed * 100 + process_index) * 10_000_000
    settings = {"workers": data.workers, "packs": packs}
    stream = SceneStream(SceneStreamConfig(capacity=data.capacity, seed=first_seed, **settings), device)
    keep = None if data.keep is None else Path(data.keep.format(process=process_index))
    if keep is not None and is_file(keep):
        load_pool(stream, keep)
    if data.workers:
        stream.refresh(0)  # which sets the workers to it
    held_out = None
    if process_index == 0:
        unseen = SceneStreamConfig(capacity=data.held_out, split="validation", **settings)
        with closing(SceneStream(unseen, device)) as validation:
            Renewal(validation).fill(data.held_out)
            held_out = validation.store
    Renewal(stream).fill(data.first if data.workers else data.capacity)
    return ScenePictures(stream, held_out, batch, renewed=data.workers > 0, keep=keep)
