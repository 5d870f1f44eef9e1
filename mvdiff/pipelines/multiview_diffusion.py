"""One photo in, consistent views of N hypotheses out."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput
from jaxtyping import Float
from torch import Tensor

from mvdiff.models.camera_estimator import PhotoCameraEstimator, estimate_photo_camera
from mvdiff.models.cameras import camera_tensors
from mvdiff.models.cuda_graphs import recordable, recorded
from mvdiff.models.encoding import CHANNELS, decode_views, encode_reference, encode_views
from mvdiff.models.flow import MIN_SIGMA
from mvdiff.models.transformer import MultiViewTransformer
from mvdiff.pipelines.lora_loader import MultiViewLoraLoaderMixin
from mvdiff.sampling.photo_camera import PhotoCamera, PhotoCameraDistribution
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.rig import DEFAULT_RIG, RigConfig
from mvdiff.sampling.schedulers import make_scheduler, set_timesteps
from mvdiff.sampling.settings import SamplingConfig
from mvdiff.weights import packing
from mvdiff.weights.architecture import MODEL_INDEX, check_saved_pipeline, read_config
from recon.core.cameras import Cameras
from recon.core.errors import InputError
from recon.core.paths import is_file, is_folder
from recon.core.reading import reading
from recon.core.views import ViewSet
from recon.ops.parallel import in_threads

#: Passes through the transformer from which it pays to record one of them, which costs two.
_WORTH_RECORDING = 4

Generators = torch.Generator | Sequence[torch.Generator] | None


@dataclass
class MultiViewOutput(BaseOutput):
    """Output of :class:`MultiViewDiffusionPipeline`."""

    views: Any
    """By ``output_type``: "views" a ViewSet [n v] on the pipeline's device, "pt" its RGBA tensor [n v 4 h w] in [0, 1],
    "np" an array [n v h w 4], "pil" lists of RGBA images."""
    photo_cameras: PhotoCamera
    """Photo camera that each hypothesis drew, [n]."""
    reference: ReferenceImage
    camera_distribution: PhotoCameraDistribution


class MultiViewDiffusionPipeline(DiffusionPipeline, MultiViewLoraLoaderMixin):
    """Samples multi-view hypotheses of the object in a photo.

    Each hypothesis draws its own photo camera and its own noise from its own generator, so it is the same object
    whatever the number of hypotheses beside it.
    """

    model_cpu_offload_seq = "camera_estimator->transformer"
    _callback_tensor_inputs: ClassVar = ["sample", "prediction"]

    def __init__(
        self,
        transformer: MultiViewTransformer,
        camera_estimator: PhotoCameraEstimator,
        scheduler: SchedulerMixin,
    ) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, camera_estimator=camera_estimator, scheduler=scheduler)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> "MultiViewDiffusionPipeline":
        """From the model in this package ("embedded"), packed weights, diffusers' own layout, or a training run."""
        folder = packing.resolve(pretrained_model_name_or_path)
        if not is_folder(folder):
            raise InputError(
                f"There are no weights at {folder}; pass a folder that save_pretrained wrote, or 'embedded'."
            )
        with reading(folder, "folder of weights", "fetch or train these weights again"):
            return (
                cls._from_packed(folder, **kwargs) if packing.is_packed(folder) else cls._from_saved(folder, **kwargs)
            )

    @classmethod
    def _from_saved(cls, folder: Path, **kwargs) -> "MultiViewDiffusionPipeline":
        """Diffusers' own layout; nothing that is missing there is looked for on a network."""
        if not is_file(folder / MODEL_INDEX):
            raise InputError(f"{folder} has neither {MODEL_INDEX} nor {packing.INDEX}: it is no saved pipeline.")
        check_saved_pipeline(folder)
        kwargs = {"use_safetensors": True, **kwargs, "local_files_only": True}
        return super().from_pretrained(folder, **kwargs)

    @classmethod
    def _from_packed(cls, folder: Path, **kwargs) -> "MultiViewDiffusionPipeline":
        dtype = kwargs.pop("torch_dtype", None) or kwargs.pop("dtype", None)
        scheduler = kwargs.pop("scheduler", None) or make_scheduler()
        models = {}
        for name, model_class in (("transformer", MultiViewTransformer), ("camera_estimator", PhotoCameraEstimator)):
            model = kwargs.pop(name, None)
            if model is None:
                model = model_class.from_config(read_config(folder, name))
                packing.load_packed(folder, name, model)
                model = model.eval() if dtype is None else model.eval().to(dtype)
            models[name] = model
        pipeline = cls(**models, scheduler=scheduler)
        pipeline.register_to_config(_name_or_path=str(folder))
        return pipeline

    @property
    def num_timesteps(self) -> int:
        """Denoising steps of the latest call."""
        return self._num_timesteps

    def check_inputs(
        self,
        num_hypotheses: int,
        num_inference_steps: int,
        generator: Generators,
        elevation: float | None,
        output_type: str,
        callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> None:
        if num_hypotheses < 1:
            raise InputError(f"The number of hypotheses must be at least 1, got {num_hypotheses}.")
        if num_inference_steps < 1:
            raise InputError(f"The number of inference steps must be at least 1, got {num_inference_steps}.")
        if isinstance(generator, Sequence) and len(generator) != num_hypotheses:
            raise InputError(f"Got {len(generator)} generators for {num_hypotheses} hypotheses; pass one for each.")
        if elevation is not None and not -90 <= elevation <= 90:
            raise InputError(f"The elevation is an angle between -90 and 90 degrees, got {elevation}.")
        if output_type not in ("views", "pt", "np", "pil"):
            raise InputError(f"Unknown output_type {output_type!r}; use 'views', 'pt', 'np' or 'pil'.")
        unknown = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if unknown:
            raise InputError(f"Callbacks can see {self._callback_tensor_inputs}, not {sorted(unknown)}.")

    @torch.no_grad()
    def estimate_camera(
        self,
        reference: ReferenceImage,
        elevation: float | None = None,
        elevation_prior: tuple[float, float] | None = None,
    ) -> PhotoCameraDistribution:
        """p(photo camera | photo), see :func:`mvdiff.models.camera_estimator.estimate_photo_camera`."""
        return estimate_photo_camera(self.camera_estimator, reference, elevation, elevation_prior)

    def prepare_samples(
        self, generators: Sequence[torch.Generator | None], shape: tuple[int, int, int, int]
    ) -> Float[Tensor, "n v c h w"]:
        """Initial noise; drawn on the CPU so that a seed means the same on every device."""
        noise = [torch.randn(shape, generator=g, device="cpu" if g is None else g.device) for g in generators]
        return torch.stack([n.cpu() for n in noise])

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        num_hypotheses: int = 8,
        num_inference_steps: int = SamplingConfig.num_inference_steps,
        scheduler: SchedulerMixin | None = None,
        guidance_scale: float = SamplingConfig.guidance_scale,
        guidance_interval: tuple[float, float] | None = None,
        generator: Generators = None,
        elevation: float | None = None,
        elevation_prior: tuple[float, float] | None = SamplingConfig.elevation_prior,
        rig: RigConfig = DEFAULT_RIG,
        cameras: Cameras | None = None,
        known_views: ViewSet | None = None,
        more_photos: Sequence[tuple[ReferenceImage, PhotoCamera]] = (),
        photo_cameras: PhotoCamera | None = None,
        initial_views: ViewSet | None = None,
        strength: float = 1.0,
        camera_temperature: float = SamplingConfig.camera_temperature,
        chunk_size: int | None = None,
        output_type: str = "views",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Tensor, dict], dict] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("sample",),
    ) -> MultiViewOutput | tuple:
        """Sample ``num_hypotheses`` objects.

        Args:
            image: a ``ReferenceImage``, or a picture, array or path that ``mvdiff.sampling.reference.prepare`` takes.
            scheduler: solver of this call alone; the pipeline's own by default. Neither is changed by the call.
            guidance_scale: 1 follows what the model knows; more follows the photo harder. At the scale that the
                transformer has learnt to follow by itself (``learnt_guidance``) a step takes one pass instead of two.
            guidance_interval: noise levels (0 clean to 1 noise) at which guidance acts (Kynkaanniemi et al. 2024).
                None: up to the level below which the transformer has learnt it (``guidance_below``).
            generator: one for each hypothesis; a single one is drawn from in turn.
            elevation: of the photo in degrees, when known; otherwise each hypothesis draws its own.
            elevation_prior: mean and standard deviation in degrees of what is known roughly; None: nothing.
            rig: target cameras around the object. ``cameras`` [v] or [n v], in the photo's frame, replaces it.
            known_views: views (of one or of every hypothesis) given clean; they come first in the result.
            more_photos: further photos of the object with their cameras (azimuth, elevation, crop).
            photo_cameras: [n], where the photo was taken from, when that is known; otherwise each hypothesis draws it.
            initial_views: [n v] of the target cameras to start from, noised up to ``strength`` (SDEdit, Meng et al.
                2022): near 0 they stay, 1 is as if there were none.
            camera_temperature: 1 draws photo cameras from the whole distribution, less prefers the likelier ones.
            chunk_size: hypotheses sampled at a time, to bound memory.
        """
        self.check_inputs(
            num_hypotheses, num_inference_steps, generator, elevation, output_type, callback_on_step_end_tensor_inputs
        )
        if not 0 < strength <= 1:
            raise InputError(f"The strength lies above 0 and is at most 1, got {strength}.")
        reference = image if isinstance(image, ReferenceImage) else prepare(image)
        generators = list(generator) if isinstance(generator, Sequence) else [generator] * num_hypotheses
        distribution = self.estimate_camera(reference, elevation, elevation_prior)
        size = self.transformer.config.sample_size

        def draw(k: int) -> tuple[PhotoCamera, Cameras, Tensor]:
            """Photo camera, target cameras and noise of hypothesis ``k``, all from its own generator."""
            photo_camera = None if photo_cameras is None else photo_cameras[k : k + 1]
            if photo_camera is None:
                drawn = distribution.sample([generators[k]], camera_temperature)
                photo_camera = PhotoCamera.from_parameters(drawn)
            rig_cameras = rig.cameras(photo_camera.elevation)
            target = (rig_cameras if cameras is None else cameras.reshape(-1, cameras.shape[-1])[:1])[0]
            return photo_camera, target, self.prepare_samples([generators[k]], (len(target), CHANNELS, size, size))[0]

        # A shared generator is asked hypothesis by hypothesis, so that it also means the same for any N.
        apart = len(set(map(id, generators))) == num_hypotheses
        drawn = in_threads(draw, range(num_hypotheses)) if apart else map(draw, range(num_hypotheses))
        draws, rigs, noise = zip(*drawn, strict=True)
        photo_cameras = PhotoCamera.cat(draws)
        targets = Cameras.stack(rigs)
        if cameras is not None and len(cameras.shape) == 2:
            targets = cameras.expand(num_hypotheses, cameras.shape[1])

        initial = None if initial_views is None else encode_views(initial_views).expand(num_hypotheses, -1, -1, -1, -1)
        if initial is not None and initial.shape[1] != targets.shape[1]:
            raise InputError(f"Got {initial.shape[1]} initial views for {targets.shape[1]} target cameras.")

        def of_chunk(own: slice, value: Any) -> Any:
            """Repeat single entries for every hypothesis."""
            return value if value is None or len(value) == 1 else value[own]

        solver = copy.deepcopy(scheduler or self.scheduler)  # it keeps state from step to step
        chunk = chunk_size or num_hypotheses
        self._num_timesteps = num_inference_steps
        samples = []
        with self.progress_bar(total=num_inference_steps * -(-num_hypotheses // chunk)) as progress:
            for start in range(0, num_hypotheses, chunk):
                own = slice(start, start + chunk)
                samples.append(
                    self._sample_chunk(
                        torch.stack(noise[own]),
                        targets[own],
                        [(reference, photo_cameras[own]), *((r, of_chunk(own, c)) for r, c in more_photos)],
                        of_chunk(own, known_views),
                        None if initial is None else initial[own],
                        strength,
                        solver,
                        num_inference_steps,
                        guidance_scale,
                        guidance_interval,
                        progress,
                        callback_on_step_end,
                        callback_on_step_end_tensor_inputs,
                    )
                )
        views = ViewSet.cat(samples)
        self.maybe_free_model_hooks()
        output = MultiViewOutput(
            views=_as_output(views, output_type),
            photo_cameras=photo_cameras,
            reference=reference,
            camera_distribution=distribution,
        )
        return output if return_dict else output.to_tuple()

    def _sample_chunk(
        self,
        sample: Float[Tensor, "n v c h w"],
        targets: Cameras,
        photos: list[tuple[ReferenceImage, PhotoCamera]],
        known_views: ViewSet | None,
        initial: Float[Tensor, "n v c h w"] | None,
        strength: float,
        scheduler: SchedulerMixin,
        num_inference_steps: int,
        guidance_scale: float,
        guidance_interval: tuple[float, float] | None,
        progress: Any,
        callback: Callable[[Any, int, Tensor, dict], dict] | None,
        callback_inputs: Sequence[str],
    ) -> ViewSet:
        """The denoising loop for some of the hypotheses."""
        device, dtype = self._execution_device, self.transformer.dtype
        n, known_count = len(sample), 0
        sample, targets = sample.to(device), targets.to(device)
        if known_views is not None:
            known = known_views.to(device)
            known_count = known.num_views
            clean = encode_views(known).expand(n, -1, -1, -1, -1)
            all_cameras = Cameras.cat([known.cameras.expand(n, known_count), targets], dim=1)
        else:
            clean, all_cameras = sample[:, :0], targets
        pictures = torch.stack([encode_reference(reference.rgba) for reference, _ in photos])
        pictures = pictures.to(device, dtype).expand(n, -1, -1, -1, -1)
        size = pictures.shape[-1]
        photo_cameras = Cameras.stack([camera.cameras(size).expand(n) for _, camera in photos], dim=1).to(device)
        condition = (*camera_tensors(all_cameras), *camera_tensors(photo_cameras))

        def forward(
            state: Tensor, timestep: Tensor, hidden: Tensor, pictures: Tensor, *condition: Tensor
        ) -> Float[Tensor, "n v c h w"]:
            return self.transformer(state, timestep, pictures, *condition, hidden, return_dict=False)[0]

        lowest, highest = guidance_interval or (0.0, self.transformer.config.guidance_below)
        timesteps = set_timesteps(scheduler, num_inference_steps, device)
        sigmas = [float(timestep) / scheduler.config.num_train_timesteps for timestep in timesteps]
        scales = [guidance_scale if lowest <= sigma <= highest else 1.0 for sigma in sigmas]
        learnt = [self.transformer.learnt_guidance_at(sigma) for sigma in sigmas]
        passes = sum(1 if scale == own else 2 for scale, own in zip(scales, learnt, strict=True))
        if passes >= _WORTH_RECORDING and recordable(self.transformer):
            state, hidden = torch.cat([clean, sample], 1).to(dtype), torch.zeros(n, dtype=torch.bool, device=device)
            timestep = torch.zeros(state.shape[:2], device=device)
            forward = recorded(self.transformer, forward, state, timestep, hidden, pictures, *condition)

        def predict(state: Tensor, sigma: float, drop: bool) -> Float[Tensor, "n v c h w"]:
            timestep = torch.full(state.shape[:2], sigma * 1000.0, device=device)
            timestep[:, :known_count] = 0.0
            hidden = torch.full((n,), drop, device=device)
            return forward(state.to(dtype), timestep, hidden, pictures, *condition).float()[:, known_count:]

        prediction = sample
        begin = 0
        if initial is not None:
            begin = min(sum(sigma > strength for sigma in sigmas), len(sigmas) - 1)
            sample = torch.lerp(initial.to(device), sample, sigmas[begin])
            scheduler.set_begin_index(begin)
        steps = list(zip(timesteps, sigmas, scales, learnt, strict=True))[begin:]
        for index, (timestep, sigma, scale, own) in enumerate(steps):
            state = torch.cat([clean, sample], 1)
            prediction = predict(state, sigma, drop=False)
            if scale != own:
                unconditional = predict(state, sigma, drop=True)
                prediction = unconditional + scale / own * (prediction - unconditional)
            # The scheduler's contract is the velocity noise - x, with the same clamp as in training.
            velocity = (sample - prediction) / max(sigma, MIN_SIGMA)
            sample = scheduler.step(velocity, timestep, sample, return_dict=False)[0]
            if callback is not None:
                visible = {"sample": sample, "prediction": prediction}
                returned = callback(self, index, timestep, {name: visible[name] for name in callback_inputs})
                sample = (returned or {}).pop("sample", sample)
            progress.update()
        return decode_views(torch.cat([clean, sample], 1), all_cameras)


def _as_output(views: ViewSet, output_type: str) -> Any:
    if output_type == "views":
        return views
    rgba = torch.cat([views.rgb, views.alpha], 2)
    if output_type == "pt":
        return rgba
    pictures = rgba.permute(0, 1, 3, 4, 2).cpu().numpy()
    if output_type == "np":
        return pictures
    from PIL import Image

    return [[Image.fromarray((view * 255).round().astype(np.uint8)) for view in object_] for object_ in pictures]
