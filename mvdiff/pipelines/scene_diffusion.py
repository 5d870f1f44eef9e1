"""One photo and target cameras in, views of N hypotheses of its scene out, the photo's own geometry among them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput
from jaxtyping import Bool, Float
from torch import Tensor

from mvdiff.models.encoding import CHANNELS, CONDITION_CHANNELS, SceneCode
from mvdiff.models.flow import MIN_SIGMA
from mvdiff.models.scene_pass import denoise_scene, per_channel
from mvdiff.models.transformer import MultiViewTransformer
from mvdiff.sampling.schedulers import make_scheduler, set_timesteps
from mvdiff.weights import packing
from mvdiff.weights.architecture import check_component
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.paths import is_folder
from recon.core.reading import reading
from recon.core.views import ViewSet
from recon.rendering.warp import Warped

#: How far noise levels are moved towards noise: a whole scene is invented, as in training.
SCENE_SHIFT = 6.0


@dataclass
class SceneOutput(BaseOutput):
    """Output of :class:`SceneDiffusionPipeline`."""

    views: ViewSet
    """[n 1+m+v]: the photo with its own colors and sampled geometry, further photos likewise, the target views."""


@dataclass(frozen=True)
class _Given:
    """Known channel groups of views and the noise level of each; the rest is sampled."""

    clean: Float[Tensor, "n v 8 h w"]
    level: Float[Tensor, "n v 2"]
    known: Bool[Tensor, "n v 2"]

    @staticmethod
    def of(views: ViewSet, geometry: bool, level: float, n: int) -> "_Given":
        """Colors without noise where geometry is not known, else all channels at ``level``."""
        clean = SceneCode().encode(views).expand(n, -1, -1, -1, -1)
        known = torch.tensor([True, geometry]).expand(*clean.shape[:2], 2)
        levels = torch.tensor([level if geometry else 0.0, level]).expand(*clean.shape[:2], 2)
        return _Given(clean, torch.where(known, levels, 1.0), known)

    @staticmethod
    def nothing(n: int, count: int, size: int) -> "_Given":
        shape = (n, count, 2)
        return _Given(torch.zeros(n, count, CHANNELS, size, size), torch.ones(shape), torch.zeros(shape).bool())

    @staticmethod
    def cat(parts: Sequence["_Given"]) -> "_Given":
        return _Given(*(torch.cat([getattr(p, name) for p in parts], 1) for name in ("clean", "level", "known")))

    def to(self, device: torch.device) -> "_Given":
        return _Given(self.clean.to(device), self.level.to(device), self.known.to(device))

    def __getitem__(self, rows: slice) -> "_Given":
        return _Given(self.clean[rows], self.level[rows], self.known[rows])


class SceneDiffusionPipeline(DiffusionPipeline):
    """Samples the scene in a photo: views of any cameras and the photo's own depth and normals.

    Each hypothesis draws its noise from its own generator, so it is the same scene whatever the number of hypotheses
    beside it.
    """

    model_cpu_offload_seq = "transformer"
    _callback_tensor_inputs: ClassVar = ["sample", "prediction"]

    def __init__(self, transformer: MultiViewTransformer, scheduler: SchedulerMixin) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> "SceneDiffusionPipeline":
        """From the model in this package ("embedded-scene"), packed weights, diffusers' layout, or a training run."""
        folder = packing.resolve(pretrained_model_name_or_path)
        transformer = kwargs.pop("transformer", None) or load_transformer(folder).eval()
        if transformer.config.noise_groups != 2:
            raise InputError(f"The weights in {folder} are of objects, not of scenes: pass 'embedded-scene'.")
        dtype = kwargs.pop("torch_dtype", None) or kwargs.pop("dtype", None)
        transformer = transformer if dtype is None else transformer.to(dtype)
        pipeline = cls(transformer, kwargs.pop("scheduler", None) or make_scheduler(shift=SCENE_SHIFT))
        pipeline.register_to_config(_name_or_path=str(folder))
        return pipeline

    def check_inputs(
        self,
        photo: Tensor,
        photo_cameras: Cameras,
        targets: Cameras,
        num_hypotheses: int,
        num_inference_steps: int,
        generator: Sequence[torch.Generator] | None,
        sets: dict[str, ViewSet | None],
    ) -> None:
        """Raise :class:`InputError` for what cannot be sampled."""
        size = self.transformer.config.sample_size
        if num_hypotheses < 1 or num_inference_steps < 1:
            raise InputError("Sampling needs at least one hypothesis and one inference step.")
        if photo.ndim != 3 or photo.shape[0] != 3:
            raise InputError(f"The photo is a tensor [3 h w], not {list(photo.shape)}.")
        if generator is not None and len(generator) != num_hypotheses:
            raise InputError(f"Got {len(generator)} generators for {num_hypotheses} hypotheses; pass one for each.")
        if len(photo_cameras.shape) != 1 or photo_cameras.shape[0] not in (1, num_hypotheses):
            raise InputError(f"The photo has one camera or one for each hypothesis, not {list(photo_cameras.shape)}.")
        for name, cameras in {"photo": photo_cameras, "target": targets}.items():
            if (cameras.width, cameras.height) != (size, size):
                raise InputError(
                    f"The {name} cameras are for pictures of {size} x {size}: bring them there by resized()."
                )
        for name, views in sets.items():
            if views is not None and views.rgb.shape[-2:] != (size, size):
                raise InputError(f"The {name} are pictures of {size} x {size}, not {list(views.rgb.shape[-2:])}.")

    @torch.no_grad()
    def __call__(
        self,
        photo: Float[Tensor, "*channels h w"],
        photo_cameras: Cameras,
        targets: Cameras,
        num_hypotheses: int = 8,
        photo_geometry: ViewSet | None = None,
        more_photos: ViewSet | None = None,
        known_views: ViewSet | None = None,
        known_level: float = 0.05,
        warp: Warped | None = None,
        initial_views: ViewSet | None = None,
        strength: float = 1.0,
        num_inference_steps: int = 6,
        scheduler: SchedulerMixin | None = None,
        guidance_scale: float = 1.0,
        generator: Sequence[torch.Generator] | None = None,
        chunk_size: int | None = None,
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Tensor, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("sample",),
    ) -> SceneOutput | tuple:
        """Sample ``num_hypotheses`` scenes.

        Args:
            photo: sRGB in [0, 1] of any size; it is squeezed onto the square that the network works on.
            photo_cameras: [1] or [n], in the photo's world: at the origin, gravity along -Y, heading along -Z.
            targets: [v] or [n v], in the same world, whose unit makes the photo's median depth 1.5.
            photo_geometry: [1 1] or [n 1], alpha, normals and depth of the photo where they are known already.
            more_photos: [1 m] or [n m], views of which the colors are known; their geometry is sampled.
            known_views: [1 k] or [n k], views that are known with their geometry.
            known_level: noise level from 0 to 1 at which known geometry is given.
            warp: [1 v] or [n v], what is known of the target views (:func:`recon.rendering.warp.forward_warp`).
            initial_views: [1 v] or [n v], the target views to start from, noised up to ``strength`` (SDEdit, Meng et
                al. 2021); with the photo's own geometry as a further first view, [n 1+v], that starts there, too.
            strength: above 0, at most 1, which ignores ``initial_views``.
            scheduler: solver of this call alone; the pipeline's own by default. Neither is changed by the call.
            guidance_scale: 1 is what the network knows; more follows the photo harder, at two passes a step.
            generator: one for each hypothesis.
            chunk_size: hypotheses sampled at a time; None: all.

        Raises:
            InputError: pictures, cameras and hypotheses do not fit together.
        """
        sets = {"further photos": more_photos, "known views": known_views, "photo's geometry": photo_geometry}
        sets["initial views"] = initial_views
        self.check_inputs(photo, photo_cameras, targets, num_hypotheses, num_inference_steps, generator, sets)
        if not 0 < strength <= 1:
            raise InputError(f"The strength lies above 0 and is at most 1, got {strength:g}.")
        n, size = num_hypotheses, self.transformer.config.sample_size
        targets = targets if len(targets.shape) == 2 else targets.reshape(1, -1)
        pictured = _photo_view(photo, photo_cameras, photo_geometry, size)
        parts = [(pictured, photo_geometry is not None)]
        parts += [] if more_photos is None else [(more_photos, False)]
        known = [] if known_views is None else [(known_views, True)]
        given = [_Given.of(views.to("cpu"), geometry, known_level, n) for views, geometry in (*parts, *known)]
        given = _Given.cat([*given, _Given.nothing(n, targets.shape[1], size)])
        cameras = [_expanded(views.cameras.to("cpu"), n) for views, _ in (*parts, *known)]
        cameras = Cameras.cat([*cameras, _expanded(targets.to("cpu"), n)], 1)
        condition = _condition(warp, n, len(given.clean[0]), targets.shape[1], size)
        start = _start(initial_views, given, targets.shape[1])
        start = None if strength == 1 else start
        noise = self.prepare_samples(generator or [None] * n, tuple(given.clean.shape[1:]))
        samples, chunk = [], chunk_size or n
        self._num_timesteps = num_inference_steps
        with self.progress_bar(total=num_inference_steps * -(-n // chunk)) as progress:
            for first in range(0, n, chunk):
                own = slice(first, first + chunk)
                samples.append(
                    self._sample_chunk(
                        noise[own],
                        given[own],
                        cameras[own],
                        None if condition is None else condition[own],
                        None if start is None else start[own],
                        strength,
                        copy.deepcopy(scheduler or self.scheduler),  # it keeps state from step to step
                        num_inference_steps,
                        guidance_scale,
                        progress,
                        callback_on_step_end,
                        callback_on_step_end_tensor_inputs,
                    )
                )
        self.maybe_free_model_hooks()
        sample = torch.cat(samples)
        first = sum(views.num_views for views, _ in parts)
        asked = [*range(first), *range(sample.shape[1] - targets.shape[1], sample.shape[1])]
        views = SceneCode().decode(sample[:, asked], cameras.to(sample.device)[:, asked])
        return SceneOutput(views=views) if return_dict else (views,)

    def prepare_samples(
        self, generators: Sequence[torch.Generator | None], shape: tuple[int, ...]
    ) -> Float[Tensor, "n v c h w"]:
        """Initial noise; drawn on the CPU so that a seed means the same on every device."""
        noise = [torch.randn(shape, generator=g, device="cpu" if g is None else g.device) for g in generators]
        return torch.stack([n.cpu() for n in noise])

    def _sample_chunk(
        self,
        noise: Float[Tensor, "n v c h w"],
        given: _Given,
        cameras: Cameras,
        condition: Float[Tensor, "n v e h w"] | None,
        start: Float[Tensor, "n v c h w"] | None,
        strength: float,
        scheduler: SchedulerMixin,
        num_inference_steps: int,
        guidance_scale: float,
        progress: Any,
        callback: Callable[[Any, int, Tensor, dict], dict] | None,
        callback_inputs: Sequence[str],
    ) -> Float[Tensor, "n v c h w"]:
        """The denoising loop for some of the hypotheses; what is known keeps its level and is put back at the end."""
        device, dtype = self._execution_device, self.transformer.dtype
        noise, given, cameras = noise.to(device), given.to(device), cameras.to(device)
        condition = None if condition is None else condition.to(device, dtype)
        known, photo = per_channel(given.known.float()).bool(), given.clean[:, 0, :3]
        held = torch.lerp(given.clean, noise, per_channel(given.level))
        sample = torch.where(known, held, noise)

        def predict(sigma: float, hidden: bool) -> Float[Tensor, "n v c h w"]:
            level, state = torch.where(given.known, given.level, sigma), sample
            if hidden:
                level, state = level.clone(), state.clone()
                level[:, 0, 0], state[:, 0, :3] = 1.0, noise[:, 0, :3]
            drop = torch.full((len(state),), hidden, device=device)
            return denoise_scene(self.transformer, state.to(dtype), level, cameras, photo.to(dtype), drop, condition)

        timesteps, begin = set_timesteps(scheduler, num_inference_steps, device), 0
        if start is not None:
            levels = [float(timestep) / scheduler.config.num_train_timesteps for timestep in timesteps]
            begin = min(sum(level > strength for level in levels), len(levels) - 1)
            sample = torch.where(known, held, torch.lerp(start.to(device), noise, levels[begin]))
            scheduler.set_begin_index(begin)
        for index, timestep in enumerate(timesteps[begin:], begin):
            sigma = float(timestep) / scheduler.config.num_train_timesteps
            prediction = predict(sigma, hidden=False)
            if guidance_scale != 1:
                unconditional = predict(sigma, hidden=True)
                prediction = unconditional + guidance_scale * (prediction - unconditional)
            velocity = (sample - prediction) / max(sigma, MIN_SIGMA)
            sample = scheduler.step(velocity, timestep, sample, return_dict=False)[0]
            sample = torch.where(known, held, sample)
            if callback is not None:
                visible = {"sample": sample, "prediction": prediction}
                returned = callback(self, index, timestep, {name: visible[name] for name in callback_inputs})
                sample = (returned or {}).pop("sample", sample)
            progress.update()
        return torch.where(known, given.clean, sample)


def load_transformer(weights: str | Path) -> MultiViewTransformer:
    """The transformer of packed weights, of a saved pipeline or of a training run; raises :class:`InputError`."""
    folder = packing.resolve(weights)
    if not is_folder(folder / "transformer"):
        raise InputError(
            f"There are no weights at {folder}: pass a folder that save_pretrained wrote or a run's folder."
        )
    with reading(folder, "folder of weights", "fetch or train these weights again"):
        values = check_component(folder, "transformer")
        if not packing.is_packed(folder):
            # Nothing that is missing is looked for on a network.
            place, options = folder / "transformer", {"local_files_only": True, "use_safetensors": True}
            return MultiViewTransformer.from_pretrained(place, **options)
        transformer = MultiViewTransformer.from_config(values)
        packing.load_packed(folder, "transformer", transformer)
        return transformer


def _photo_view(photo: Float[Tensor, "3 h w"], cameras: Cameras, geometry: ViewSet | None, size: int) -> ViewSet:
    """The photo [1 1] or [n 1] as a view."""
    shape = (1, 1, 1, size, size)
    if photo.shape[-2:] != (size, size):
        photo = torch.nn.functional.interpolate(photo[None], (size, size), mode="bilinear", antialias=True)[0]
    rgb = photo.clamp(0, 1).cpu().reshape(1, 1, 3, size, size)
    cameras = cameras.to("cpu").reshape(len(cameras), 1)
    rgb = rgb.expand(max(len(cameras), 1 if geometry is None else len(geometry)), -1, -1, -1, -1)
    if geometry is not None:
        return replace(geometry.to("cpu")._map(lambda value: value.expand(len(rgb), *value.shape[1:])), rgb=rgb)
    return ViewSet(rgb, torch.ones(shape).expand(len(rgb), -1, -1, -1, -1), cameras)


def _start(views: ViewSet | None, given: _Given, targets: int) -> Float[Tensor, "n v 8 h w"] | None:
    """The views to start from in their places among all views; known views stand as they are."""
    if views is None:
        return None
    code = SceneCode().encode(views.to("cpu")).expand(len(given.clean), -1, -1, -1, -1)
    if code.shape[1] not in (targets, targets + 1):
        raise InputError(f"There are {code.shape[1]} initial views for {targets} target views: give one for each.")
    start = given.clean.clone()
    start[:, start.shape[1] - targets :] = code[:, code.shape[1] - targets :]
    if code.shape[1] > targets:
        start[:, :1] = code[:, :1]
    return start


def _expanded(cameras: Cameras, n: int) -> Cameras:
    return cameras.expand(n, cameras.shape[1])


def _condition(warp: Warped | None, n: int, views: int, targets: int, size: int) -> Float[Tensor, "n v e h w"] | None:
    """Condition pictures of all views, zero for those that are not targets."""
    if warp is None:
        return None
    condition = torch.zeros(n, views, CONDITION_CHANNELS, size, size)
    condition[:, views - targets :] = SceneCode().condition(warp).cpu().expand(n, -1, -1, -1, -1)
    return condition
