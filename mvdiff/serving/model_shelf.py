"""Models of one worker process: the server's own, and the one other that was asked for last."""

import gc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mvdiff.serving.memory import resident_bytes

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D
    from mvdiff.runs.image_to_scene import ImageToScene

_OWN, _SCENES = ("embedded", "fusion"), ("scenes",)


@dataclass
class ModelShelf:
    """The server's own model stays in memory; of all others, one at a time does."""

    own: "ImageTo3D"
    options: dict[str, Any]
    """Keyword arguments of :func:`mvdiff.runs.loading.load_model` that the own model was loaded with."""
    extras: dict[str, Any]
    """Fields of :class:`mvdiff.serving.config.Extras`."""
    _other: tuple[tuple[str, ...], Any] | None = field(default=None, repr=False)

    @staticmethod
    def open(options: dict[str, Any], extras: dict[str, Any]) -> "ModelShelf":
        """Read the server's own model."""
        from mvdiff.runs.loading import load_model

        return ModelShelf(load_model(**options), options, extras)

    def holds(self, backbone: str, reconstructor: str) -> bool:
        """Whether a model is in memory already."""
        names = (backbone, reconstructor)
        return names == _OWN or (self._other is not None and self._other[0] == names)

    @property
    def holds_scenes(self) -> bool:
        return self._other is not None and self._other[0] == _SCENES

    def objects(self, backbone: str, reconstructor: str) -> "ImageTo3D":
        """The model of a backbone and a reconstructor; read where it is not in memory.

        Raises :class:`InputError` where its weights cannot be used.
        """
        from mvdiff.runs.loading import load_model

        names = (backbone, reconstructor)
        if names == _OWN:
            return self.own
        if self.holds(*names):
            return self._held()
        options = {**self.options, "reconstructor": reconstructor, "backbone": backbone}
        if reconstructor != "fusion":
            options["reconstructor_weights"] = self.extras["reconstructor_weights"]
        if backbone != "embedded":  # weights and adapters of the server are the embedded backbone's
            options |= {"weights": "embedded", "lora": None, "lora_scale": 1.0}
        self._forget()
        return self._keep(names, load_model(**options))

    def scenes(self) -> "ImageToScene":
        """The model of scenes; read where it is not in memory."""
        from mvdiff.runs.image_to_scene import ImageToScene

        if self.holds_scenes:
            return self._held()
        self._forget()
        return self._keep(_SCENES, ImageToScene.from_pretrained(self.extras["scene_weights"], self.options["device"]))

    def info(self) -> dict[str, Any]:
        """Facts about the own model, as the pages show them."""
        known = self.own.sampler.info
        return {
            "device": str(self.own.device),
            "backbone": known.name,
            "license": known.license,
            "weights": str(known.weights.get("name", "")),
            "conditions": sorted(known.conditions),
        }

    def memory(self) -> dict[str, int]:
        """Memory of this process in bytes, and the GPU's peak since the last call."""
        used = {"memory": resident_bytes()}
        if self.own.device.type == "cuda":
            import torch

            used["gpu_memory"] = torch.cuda.max_memory_allocated(self.own.device)
            torch.cuda.reset_peak_memory_stats(self.own.device)
        return used

    def _held(self) -> Any:
        assert self._other is not None
        return self._other[1]

    def _keep(self, names: tuple[str, ...], model: Any) -> Any:
        self._other = (names, model)
        return model

    def _forget(self) -> None:
        """Free the other model before the next one is read: two of them may not fit."""
        import torch

        self._other = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
