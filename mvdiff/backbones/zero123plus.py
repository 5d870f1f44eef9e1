"""Zero123++ v1.2 (Shi et al. 2023): six views of a 30 degree lens on one sheet, and the photo as the seventh.

Stock diffusers and transformers classes hold the weights. Normals come from the normal ControlNet where its weights lie
beside the others; their length gives alpha, and without them the plain background does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mvdiff.backbones.novelty import photo_in_view
from mvdiff.backbones.unet_lora import Lora
from mvdiff.backbones.zero123 import sheet
from mvdiff.backbones.zero123.denoising import Reference, Streams, denoise
from mvdiff.backbones.zero123.networks import Networks
from mvdiff.devices import fast_dtype, pick_device
from mvdiff.models.camera_estimator import PhotoCameraEstimator, estimate_photo_camera
from mvdiff.sampling.candidates import generators
from mvdiff.sampling.generation import Framing
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.sampler import OnStep, Sampled, SamplerInfo, SamplingRequest
from recon.core.cameras import Cameras
from recon.core.views import ViewSet

_LEVELS = {"gray": (127, 127, 127), "white": (255, 255, 255)}


@dataclass(frozen=True)
class Zero123PlusSampler:
    """:class:`~mvdiff.sampling.sampler.ViewSampler` on the networks of Zero123++."""

    networks: Networks
    estimator: PhotoCameraEstimator
    """Estimator of the photo's camera, of the embedded model: Zero123++ has none."""
    info: SamplerInfo
    background: sheet.Background = "gray"
    """Color behind the object in the photo and on the sheets; white for InstantMesh's UNet."""
    view_size: int = 320
    """Pixels along each side of a view."""

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded",
        device: str = "auto",
        dtype: torch.dtype | None = None,
        lora: str | Path | None = None,
        lora_scale: float = 1.0,
        name: str = "zero123plus",
        offload: bool = False,
    ) -> "Zero123PlusSampler":
        """Load weights from this machine; nothing is fetched.

        Args:
            weights: folder of weights, or "embedded" for what ``mvdiff models pull`` stored.
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: precision of the networks; the device's fast one by default.
            lora: file of a LoRA of the UNet, fused into it.
            lora_scale: factor of the LoRA.
            name: "zero123plus", or "zero123plus-white" for InstantMesh's UNet on white.
            offload: keep on the device only the network that is in use.

        Raises:
            InputError: weights are missing, damaged or of another model, or their license is not accepted.
        """
        from mvdiff.backbones.zero123.loading import load

        place, adapter = pick_device(device), None if lora is None else Lora.read(lora, lora_scale)
        networks, estimator, info = load(name, weights, place, dtype or fast_dtype(place), adapter, offload)
        return Zero123PlusSampler(networks, estimator, info, "white" if name.endswith("white") else "gray")

    @property
    def device(self) -> torch.device:
        return self.networks.device

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out and recentre it; the networks see the finer of its two pictures."""
        config: Any = self.estimator.config
        return prepare(photo, size=config.sample_size, matting=matting, framing=framing)

    @torch.no_grad()
    def sample(self, request: SamplingRequest, on_step: OnStep | None = None) -> Sampled:
        """Draw one object for each seed; views [n 7], the photo first."""
        streams = generators(request.seeds)
        cameras = request.conditions.photo_cameras
        if cameras is None:
            cameras = self._draw(request, streams)
        colors, normals = self._sheets(request, streams, on_step)
        return Sampled(self._views(request.reference, cameras, colors, normals), cameras.to(self.device))

    def draw_photo_cameras(
        self, reference: ReferenceImage, seeds: Sequence[int], elevation: float | None = None, azimuth: float = 0.0
    ) -> PhotoCamera:
        """Draw the camera [n] of a photo from the estimator's distribution."""
        drawn = estimate_photo_camera(self.estimator, reference, elevation).sample(generators(seeds))
        return PhotoCamera.from_parameters(drawn, sheet.rig().distance, azimuth)

    def _draw(self, request: SamplingRequest, streams: Streams) -> PhotoCamera:
        settings = request.settings
        found = estimate_photo_camera(self.estimator, request.reference, request.elevation, settings.elevation_prior)
        return PhotoCamera.from_parameters(found.sample(streams, settings.camera_temperature), sheet.rig().distance)

    def _sheets(
        self, request: SamplingRequest, streams: Streams, on_step: OnStep | None
    ) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"] | None]:
        """Sheets of colors, and of coded normals where there is a ControlNet; both in [0, 1]."""
        settings, networks = request.settings, self.networks
        size = (sheet.ROWS * self.view_size, sheet.COLUMNS * self.view_size)
        reference = Reference.encode(networks, self.picture(request.reference), streams, settings.guidance_scale)
        steps, passes = settings.num_inference_steps, 1 if networks.control is None else 2

        def drawn(control: Float[Tensor, "n 3 h w"] | None, report: Callable[[int], None]) -> Float[Tensor, "n 3 h w"]:
            return networks.decode(denoise(networks, reference, streams, steps, size, control, report))

        def report(finished: int) -> None:
            """Steps of both passes as those of one."""
            if on_step is not None and finished % passes == 0:
                on_step(finished // passes)

        colors = drawn(None, report)
        if networks.control is None:
            return colors, None
        return colors, drawn(2 * colors - 1, lambda finished: report(steps + finished))

    def picture(self, reference: ReferenceImage) -> Image.Image:
        """The photo as the networks see it: RGB over the even background."""
        rgba = replace(reference, rgba=_finest(reference)).picture()
        shown = Image.new("RGB", rgba.size, _LEVELS[self.background])
        shown.paste(rgba, mask=rgba.getchannel("A"))
        return shown

    def _views(
        self,
        reference: ReferenceImage,
        photo_cameras: PhotoCamera,
        colors: Float[Tensor, "n 3 h w"],
        normals: Float[Tensor, "n 3 h w"] | None,
    ) -> ViewSet:
        """The six views cut out, and before them the photo through their lens."""
        cameras = sheet.rig(self.view_size).cameras(photo_cameras.elevation.cpu())
        coded = None if normals is None else sheet.split(normals)
        six = sheet.cut_out(sheet.split(colors), coded, cameras[:, 1:], self.background)
        photo = self._photo_view(reference, photo_cameras, cameras[:, 0]).to(six.rgb)
        # Zero stands for an unknown normal: the photo has none.
        unknown = None if six.normal is None else torch.zeros_like(six.normal[:, :1])
        return ViewSet(
            torch.cat([photo[:, None, :3], six.rgb], 1),
            torch.cat([photo[:, None, 3:], six.alpha], 1),
            cameras.to(self.device),
            None if six.normal is None or unknown is None else torch.cat([unknown, six.normal], 1),
        )

    def _photo_view(
        self, reference: ReferenceImage, photo_cameras: PhotoCamera, cameras: Cameras
    ) -> Float[Tensor, "n 4 s s"]:
        return photo_in_view(replace(reference, rgba=_finest(reference)).to("cpu"), photo_cameras.to("cpu"), cameras)


def _finest(reference: ReferenceImage) -> Float[Tensor, "4 s s"]:
    return reference.rgba if reference.detail is None else reference.detail
