"""The recorded scenes that a run trains and validates on."""

from collections import Counter
from typing import Any

import torch

from mvdiff.training.scenes.batch import SceneArrays, SceneBatch, draw_batch
from mvdiff.training.scenes.config import SceneBatchConfig, SceneDataConfig, SceneMixture


class ScenePictures:
    """Groups of views from a pool of scenes that workers renew, and from held-out scenes."""

    def __init__(self, stream: Any, held_out: SceneArrays, config: SceneBatchConfig) -> None:
        self.stream, self.held_out, self.config = stream, held_out, config

    @property
    def device(self) -> torch.device:
        return self.stream.store.rgba.device

    @property
    def refreshed(self) -> int:
        return self.stream.count

    def batch(self, size: int, generator: torch.Generator, device: torch.device) -> SceneBatch:
        return draw_batch(self.stream.store, self.stream.filled, size, generator, self.config).to(device)

    def validation_batch(self, size: int, device: torch.device, mixture: SceneMixture | None = None) -> SceneBatch:
        """The same groups of held-out scenes every time, of ``mixture``'s tasks."""
        generator = torch.Generator(self.held_out.rgba.device).manual_seed(0)
        config = SceneBatchConfig(
            **(vars(self.config) | {"augment_photo": 0.0, "exposure": 0.0, "mixture": mixture or self.config.mixture})
        )
        return draw_batch(self.held_out, len(self.held_out.rgba), size, generator, config).to(device)

    def refresh(self) -> None:
        self.stream.refresh()

    def seek(self, step: int) -> None:
        """Scenes come as they are ready: a resumed run goes on with others."""

    def summary(self) -> dict[str, Any]:
        """For the model card."""
        kinds = Counter(self.stream.store.kinds)
        own = {f"own procedural scenes: {kind}": number for kind, number in sorted(kinds.items())}
        return {"objects": self.stream.count + self.stream.filled, "held_out": len(self.held_out.rgba), "licences": own}

    def close(self) -> None:
        self.stream.close()


def load_scenes(
    data: SceneDataConfig, batch: SceneBatchConfig, seed: int, device: torch.device, process_index: int
) -> ScenePictures:
    """Record the first scenes of the pool and the held-out ones; every process has scenes of its own."""
    raise NotImplementedError
