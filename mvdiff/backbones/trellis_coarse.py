"""First stage of TRELLIS as a source of shapes: 64^3 occupancy, many hypotheses at a low cost, no color."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.photo_tokens import PhotoEncoder
from mvdiff.backbones.shape_weights import filled, read_arguments
from mvdiff.devices import pick_device
from mvdiff.models.trellis.decoder import DecoderConfig, OccupancyDecoder
from mvdiff.models.trellis.flow import IGNORED, FlowConfig, LatentFlow, published_name
from mvdiff.sampling.candidates import generators
from mvdiff.sampling.generation import Framing
from mvdiff.sampling.rectified_flow import FlowSettings, draw_noise, integrate
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.sampler import OnStep
from mvdiff.sampling.shape_sampler import SampledShapes, ShapeRequest, ShapeSamplerInfo, steps_after
from mvdiff.weights.pulled import open_weights
from recon.ops.sdf import reinitialize
from recon.surface.smoothing import smooth_fields

NAME, LICENSE = "trellis-coarse", "MIT"
#: Files of the two networks (.json and .safetensors) and the folder of the photo's encoder, below the weights' folder.
FLOW, DECODER, PHOTO = "ckpts/ss_flow_img_dit_L_16l8_fp16", "ckpts/ss_dec_conv3d_16l8_fp16", "image_encoder"
#: Half side of the generator's cube.
EXTENT = 0.5
#: Guidance acts between times 0.5 and 0.95, by 1 + 5 in this package's scale.
DEFAULTS = FlowSettings(steps=25, guidance=6.0, interval=(0.5, 0.95), shift=3.0)
#: Width in cells of the Gaussian that rounds the stairs of occupancy.
_BLUR = 1.0

_Size = Annotated[int, msgspec.Meta(ge=1, le=8192)]


class _Flow(msgspec.Struct, frozen=True):
    """Arguments of the published flow; those with one value are what this implementation is for."""

    resolution: _Size
    in_channels: _Size
    model_channels: _Size
    cond_channels: _Size
    num_blocks: _Size
    num_heads: _Size
    mlp_ratio: Annotated[float, msgspec.Meta(gt=0, le=64)] = 4.0
    qk_rms_norm: Literal[True] = True
    pe_mode: Literal["ape"] = "ape"
    patch_size: Literal[1] = 1


class _Decoder(msgspec.Struct, frozen=True):
    latent_channels: _Size
    channels: Annotated[tuple[_Size, ...], msgspec.Meta(min_length=1, max_length=8)]
    num_res_blocks: _Size
    num_res_blocks_middle: _Size = 2


@dataclass(frozen=True)
class TrellisCoarse:
    """:class:`~mvdiff.sampling.shape_sampler.ShapeSampler` on TRELLIS' dense networks."""

    flow: LatentFlow
    decoder: OccupancyDecoder
    encoder: PhotoEncoder
    info: ShapeSamplerInfo
    chunk_size: int | None = None
    """Shapes sampled at a time; by default 16 on a GPU and 1 on a CPU."""

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded", device: str = "auto", dtype: torch.dtype | None = None
    ) -> "TrellisCoarse":
        """Load a folder with the published ``ckpts`` and, as ``image_encoder``, DINOv2 with registers.

        Raises:
            InputError: the device cannot be used, or the folder lacks a part or holds another model.
        """
        place = pick_device(device)
        root, record = open_weights(NAME, LICENSE, weights)
        own = dtype or (torch.float16 if place.type == "cuda" else torch.float32)
        flow_arguments, decoder_arguments = (
            read_arguments(root / f"{name}.json", kind, NAME) for name, kind in ((FLOW, _Flow), (DECODER, _Decoder))
        )
        kept = {name: flow_arguments[name] for name in FlowConfig.__dataclass_fields__}
        with torch.device("meta"):
            flow, decoder = LatentFlow(FlowConfig(**kept)), OccupancyDecoder(DecoderConfig(**decoder_arguments))
        filled(flow, [root / f"{FLOW}.safetensors"], published_name, own, IGNORED)
        filled(decoder, [root / f"{DECODER}.safetensors"], str, torch.float32)
        encoder = PhotoEncoder.load(root / PHOTO, registers=True, size=518, margin=1.2, background=0.0, own_norm=False)
        info = ShapeSamplerInfo(NAME, LICENSE, "z-up", DEFAULTS, record)
        return TrellisCoarse(flow.to(place), decoder.to(place), encoder.to(place), info)

    @property
    def device(self) -> torch.device:
        return next(self.flow.parameters()).device

    @property
    def chunk(self) -> int:
        """Shapes sampled at a time."""
        return self.chunk_size or (16 if self.device.type == "cuda" else 1)

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out at the size of the photo's encoder."""
        return prepare(photo, size=self.encoder.size, matting=matting, framing=framing)

    @torch.no_grad()
    def sample(self, request: ShapeRequest, on_step: OnStep | None = None) -> SampledShapes:
        """Draw one shape for each seed; each from its own random numbers."""
        photo = self.encoder.tokens(request.reference)
        parts = [request.seeds[i : i + self.chunk] for i in range(0, len(request.seeds), self.chunk)]
        logits: list[Tensor] = []
        for number, part in enumerate(parts):
            done = number * request.settings.steps
            logits += self._logits(photo, part, request.settings, steps_after(on_step, done))
        sdf = torch.stack([distance_of_occupancy(each, EXTENT) for each in logits])
        return SampledShapes(sdf.cpu(), EXTENT, self.info.world)

    def _logits(
        self, photo: Float[Tensor, "1 m e"], seeds: Sequence[int], settings: FlowSettings, report: OnStep
    ) -> Float[Tensor, "n g g g"]:
        config, dtype = self.flow.config, next(self.flow.parameters()).dtype
        noise = draw_noise(generators(seeds), (config.in_channels, *(config.resolution,) * 3)).to(self.device)
        tokens = photo.to(dtype).expand(len(seeds), -1, -1)

        def velocity(x: Tensor, times: Tensor, conditional: bool) -> Tensor:
            given = tokens if conditional else torch.zeros_like(tokens)
            return self.flow(x.to(dtype), 1000 * times, given).float()

        return self.decoder(integrate(velocity, noise, settings, report))


def distance_of_occupancy(logits: Float[Tensor, "g g g"], extent: float) -> Float[Tensor, "g g g"]:
    """Signed distance of voxels whose logits are positive inside, its stairs rounded."""
    spacing = 2 * extent / logits.shape[-1]
    steps = torch.where(logits > 0, -0.5, 0.5).to(logits) * spacing
    distance = reinitialize(steps, spacing)
    return smooth_fields(distance[None], torch.tensor([_BLUR]), _BLUR)[0]
