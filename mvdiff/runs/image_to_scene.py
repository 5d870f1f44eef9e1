"""One photo of a place to N explorable scenes."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import mvdiff
from mvdiff.devices import fast_dtype, pick_device
from mvdiff.pipelines.scene_diffusion import SceneDiffusionPipeline
from mvdiff.runs.scene_explorer import shown_in_explorer, spread_panorama, write_scene_explorer
from mvdiff.runs.scene_folder import SceneFolder
from mvdiff.runs.scene_path import ScenePath
from mvdiff.runs.scene_result import SceneResult, SceneSample
from mvdiff.runs.scene_stations import with_station
from mvdiff.sampling.candidates import hypothesis_seed
from mvdiff.sampling.scene_anchor import anchored
from mvdiff.sampling.scene_calibrations import SceneStatement
from mvdiff.sampling.scene_camera import SceneCamera, sphere_cameras
from mvdiff.sampling.scene_conditions import SceneConditions
from mvdiff.sampling.scene_memory import joined
from mvdiff.sampling.scene_photo import ScenePhoto, Source
from mvdiff.sampling.scene_settings import SceneGenerationConfig
from mvdiff.weights import packing
from recon.core.cameras import Cameras

#: Called with a stage's name and its finished and total steps.
Progress = Callable[[str, int, int], None]

#: Makes the samples of the hypotheses of these indices.
Draw = Callable[[Sequence[int]], dict[int, SceneSample]]
#: Streams of random numbers of one hypothesis: its camera, its sphere, then its stations.
CAMERA, SPHERE, STATIONS = 0, 1, 2


@dataclass(frozen=True)
class ImageToScene:
    """The whole way from a photo to scenes: check, sample, build, write. Each step can be called alone.

    Example:
        >>> from mvdiff import ImageToScene
        >>> model = ImageToScene.from_pretrained("embedded-scene")  # doctest: +SKIP
        >>> result = model.generate("room.jpg", "out", num_hypotheses=2, camera_height=1.6)  # doctest: +SKIP
    """

    pipeline: Any
    """A :class:`SceneDiffusionPipeline`; diffusers does not type its attributes."""
    name: str = "embedded-scene"
    sha256: str = ""
    chunk_size: int | None = None
    """Scenes sampled at a time; by default 8 on a GPU and 1 on a CPU."""
    statement: SceneStatement = field(default_factory=SceneStatement)
    """The calibration beside the weights."""

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded-scene", device: str = "auto", dtype: torch.dtype | None = None
    ) -> "ImageToScene":
        """Load a model.

        Args:
            weights: "embedded-scene", or a folder of weights of scenes.
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: precision of the network; the device's fast one by default.

        Raises:
            InputError: one of these does not exist, or the weights are of objects.
        """
        place = pick_device(device)
        pipeline: Any = SceneDiffusionPipeline.from_pretrained(weights, dtype=dtype or fast_dtype(place))
        pipeline = pipeline.to(place)
        pipeline.set_progress_bar_config(disable=True)
        folder = packing.resolve(weights)
        sha256 = packing.weights_hash(folder)
        return ImageToScene(pipeline, str(weights), sha256, statement=SceneStatement.find(folder, {"sha256": sha256}))

    @property
    def device(self) -> torch.device:
        return self.pipeline.device

    @property
    def size(self) -> int:
        """Side of the network's pictures in pixels."""
        return self.pipeline.transformer.config.sample_size

    @property
    def weights(self) -> dict[str, Any]:
        """Record of the weights: name and hash."""
        return {"name": self.name, "sha256": self.sha256}

    def generate(
        self,
        photo: Source | ScenePhoto,
        output_dir: str | os.PathLike | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
        path: ScenePath | None = None,
        **settings: Any,
    ) -> SceneResult:
        """Sample scenes of which the photo is a view.

        Args:
            photo: path, picture, array, or a checked :class:`ScenePhoto`.
            output_dir: folder to which each hypothesis is written as soon as it is known; a call with the same inputs
                continues an interrupted one. None keeps the samples in memory and builds no meshes.
            overwrite: replace the results of other inputs in that folder.
            progress: called with a stage's name and its finished and total steps.
            path: camera path that is filmed in every scene, if there is an ``output_dir``.
            settings: fields of :class:`SceneGenerationConfig`, such as ``num_hypotheses=4, camera_height=1.6``.

        Raises:
            InputError: an input cannot be used; raised before anything is written.
        """
        config = SceneGenerationConfig(**settings)
        config.check()
        photo, progress = ScenePhoto.load(photo, config.fov), progress or _no_progress
        if output_dir is None:
            return self._result(photo, config, self.sample(photo, config, progress))
        folder = SceneFolder.create(output_dir, self.inputs(photo, config, path), overwrite)
        folder.save_photo(photo)
        return self.run(photo, config, folder, progress, path)

    def run(
        self,
        photo: ScenePhoto,
        config: SceneGenerationConfig,
        folder: SceneFolder,
        progress: Progress | None = None,
        path: ScenePath | None = None,
        draw: Draw | None = None,
        weigh: Callable[[Sequence[SceneSample]], tuple[float, ...]] | None = None,
    ) -> SceneResult:
        """Sample what ``folder`` does not hold yet, and write everything.

        Args:
            draw: makes the samples of the hypotheses of these indices; those of the photo alone by default.
            weigh: weights of all samples; all alike by default.
        """
        progress = progress or _no_progress
        with _timed(folder, "sample"):
            samples = self.sample(photo, config, progress, folder, draw)
        result = self._result(photo, config, samples, None if weigh is None else weigh(samples))
        if not folder.complete:
            self._write(result, folder, progress, path)
        return result

    def _result(
        self,
        photo: ScenePhoto,
        config: SceneGenerationConfig,
        samples: Sequence[SceneSample],
        weights: tuple[float, ...] | None = None,
    ) -> SceneResult:
        return SceneResult(photo, config, tuple(samples), statement=self.statement, weights=weights)

    def sample(
        self,
        photo: ScenePhoto,
        config: SceneGenerationConfig,
        progress: Progress | None = None,
        folder: SceneFolder | None = None,
        draw: Draw | None = None,
    ) -> list[SceneSample]:
        """Sampled hypotheses, chunk by chunk; those that ``folder`` holds are loaded.

        Values are rounded as files keep them, so that a resumed run equals an uninterrupted one.
        """
        progress = progress or _no_progress
        found: dict[int, SceneSample] = {}
        for k in range(config.num_hypotheses):
            kept = None if folder is None else folder.load_sample(k)
            found |= {} if kept is None else {k: kept}
        missing = [k for k in range(config.num_hypotheses) if k not in found]
        progress("sample", len(found), config.num_hypotheses)
        chunk = self.chunk_size or (8 if self.device.type == "cuda" else 1)
        for start in range(0, len(missing), chunk):
            own = missing[start : start + chunk]
            drawn = self.draw(photo, config, own) if draw is None else draw(own)
            for k, sample in drawn.items():
                found[k] = sample
                if folder is not None:
                    folder.save_sample(k, sample)
            progress("sample", len(found), config.num_hypotheses)
        return [found[k] for k in range(config.num_hypotheses)]

    def draw(
        self,
        photo: ScenePhoto,
        config: SceneGenerationConfig,
        indices: Sequence[int],
        conditions: SceneConditions | None = None,
    ) -> dict[int, SceneSample]:
        """Samples of the hypotheses ``indices``; hypothesis k is the same for any choice of the others."""
        seeds = [hypothesis_seed(config.seed, k) for k in indices]
        known = conditions or SceneConditions()
        drawn = known.cameras_of(indices) or [
            SceneCamera.draw(config, photo.fov, random_stream(seed, CAMERA)) for seed in seeds
        ]
        cameras = Cameras.cat([camera.cameras(self.size) for camera in drawn])
        generators, guidance = [random_stream(seed, SPHERE) for seed in seeds], config.guidance_scale
        first = self.pipeline(
            photo.rgb,
            cameras,
            sphere_cameras(self.size),
            num_hypotheses=len(seeds),
            num_inference_steps=config.num_inference_steps,
            guidance_scale=guidance,
            generator=generators,
            more_photos=known.photos_of(indices),
            **known.start_of(indices),
        ).views.to("cpu")
        count = known.further_photos
        own, more = [0, *range(1 + count, first.num_views)], list(range(1, 1 + count))
        views = anchored(
            self.pipeline,
            photo.rgb,
            cameras,
            first.select_views(own),
            generators,
            config.station_steps,
            guidance_scale=guidance,
            known_views=first.select_views(more) if more else None,
            **known.start_of(indices),
        )
        views = (joined(views, first.select_views(more)) if more else views).rounded()
        samples = [SceneSample(views[i], drawn[i], further_photos=count) for i in range(len(seeds))]
        return {
            k: self.with_stations(photo, sample, config, seed)
            for k, sample, seed in zip(indices, samples, seeds, strict=True)
        }

    def with_stations(
        self, photo: ScenePhoto, sample: SceneSample, config: SceneGenerationConfig, seed: int, first: int = 0
    ) -> SceneSample:
        """The sample with the stations from number ``first`` on that ``config`` asks for."""
        for station in range(first, config.stations):
            sample = with_station(self.pipeline, photo, sample, config, random_stream(seed, STATIONS + station))
        return sample

    def _write(
        self, result: SceneResult, folder: SceneFolder, progress: Progress, path: ScenePath | None = None
    ) -> None:
        """Build and write one hypothesis after the other: a scene's grids are large.

        The explorer shows all of them, so that a resumed run builds also those that are written.
        """
        spread, shown = spread_panorama(result), []
        for k in range(len(result)):
            progress("reconstruct", k, len(result))
            with _timed(folder, "reconstruct"):
                scene = result.scene(k)
                shown.append(shown_in_explorer(scene, spread, float(result.weight[k])))
            with _timed(folder, "write"):
                if not folder.has_scene(k):
                    folder.save_scene(k, scene, result.config.preset)
                if path is not None:
                    folder.save_path(k, path, scene)
        progress("posterior", 0, 1)
        with _timed(folder, "posterior"):
            folder.save_explorer(lambda path: write_scene_explorer(path, result, shown))
            folder.save_result(result, str(self.device))
        progress("posterior", 1, 1)

    def inputs(self, photo: ScenePhoto, config: SceneGenerationConfig, path: ScenePath | None = None) -> dict[str, Any]:
        """All that the results depend on, for the manifest."""
        return {
            "version": mvdiff.__version__,
            "verb": "scene",
            "photo": {"name": photo.name, "sha256": photo.sha256, "fov": photo.fov},
            "weights": self.weights,
            "scene": config.record,
            "path": None if path is None else path.record,
            "calibration": None if self.statement.calibration is None else self.statement.calibration.name,
        }


def random_stream(seed: int, stream: int) -> torch.Generator:
    """Random numbers of one hypothesis for one purpose."""
    return torch.Generator().manual_seed(hypothesis_seed(seed, stream))


def _no_progress(stage: str, done: int, total: int) -> None:
    pass


@contextlib.contextmanager
def _timed(folder: SceneFolder, stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    if not folder.complete:
        folder.add_seconds(stage, time.perf_counter() - start)
