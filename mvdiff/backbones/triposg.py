"""TripoSG as a source of shapes: detailed geometry without color, decoded exactly on a grid of any resolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.photo_tokens import PhotoEncoder
from mvdiff.backbones.shape_weights import filled, read_arguments
from mvdiff.devices import pick_device
from mvdiff.models.triposg import decoder as decoder_names
from mvdiff.models.triposg import transformer as flow_names
from mvdiff.models.triposg.decoder import VectorDecoder, VectorDecoderConfig
from mvdiff.models.triposg.transformer import VectorFlow, VectorFlowConfig
from mvdiff.sampling.candidates import generators
from mvdiff.sampling.generation import Framing
from mvdiff.sampling.rectified_flow import FlowSettings, draw_noise, integrate
from mvdiff.sampling.reference import ReferenceImage, prepare
from mvdiff.sampling.sampler import OnStep
from mvdiff.sampling.shape_sampler import SampledShapes, ShapeRequest, ShapeSamplerInfo, steps_after
from mvdiff.weights.folders import weight_files
from mvdiff.weights.pulled import open_weights
from recon.core.grid import VoxelGrid
from recon.ops.sdf import distance_near_surface, reinitialize

NAME, LICENSE = "triposg", "MIT"
#: Half side of the cube in which the published code looks for surfaces.
EXTENT = 1.005
#: Latent vectors of a shape.
VECTORS = 2048
_STEPS, _GUIDANCE = 50, 7.0
#: Points decoded at a time: bounds the memory.
_CHUNK = 2**15

_Size = Annotated[int, msgspec.Meta(ge=1, le=16384)]


class _Flow(msgspec.Struct, frozen=True):
    num_attention_heads: _Size
    width: _Size
    in_channels: _Size
    num_layers: _Size
    cross_attention_dim: _Size


class _Decoder(msgspec.Struct, frozen=True):
    latent_channels: _Size
    num_attention_heads: _Size
    width_decoder: _Size
    num_layers_decoder: _Size
    embed_frequency: _Size = 8


class _Scheduler(msgspec.Struct, frozen=True):
    shift: Annotated[float, msgspec.Meta(gt=0, le=100)] = 1.0


class _Side(msgspec.Struct, frozen=True):
    height: Annotated[int, msgspec.Meta(ge=14, le=2048)]


class _Resized(msgspec.Struct, frozen=True):
    shortest_edge: Annotated[int, msgspec.Meta(ge=14, le=4096)]


class _Processor(msgspec.Struct, frozen=True):
    """Preparation of the photo: its smaller side is brought to ``size``, then the middle is cut out."""

    crop_size: _Side
    size: _Resized


@dataclass(frozen=True)
class TripoSG:
    """:class:`~mvdiff.sampling.shape_sampler.ShapeSampler` on TripoSG's networks."""

    flow: VectorFlow
    decoder: VectorDecoder
    encoder: PhotoEncoder
    info: ShapeSamplerInfo
    resolution: int = 128
    """Cells along each side of the grid of distances."""
    vectors: int = VECTORS
    """Latent vectors of a shape."""
    chunk_size: int | None = None
    """Shapes sampled at a time; by default 4 on a GPU and 1 on a CPU."""

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded", device: str = "auto", dtype: torch.dtype | None = None
    ) -> "TripoSG":
        """Load a folder of the published layout.

        Raises:
            InputError: the device cannot be used, or the folder lacks a part or holds another model.
        """
        place = pick_device(device)
        root, record = open_weights(NAME, LICENSE, weights)
        own = dtype or (torch.float16 if place.type == "cuda" else torch.float32)
        flow_config = VectorFlowConfig(**read_arguments(root / "transformer/config.json", _Flow, NAME))
        decoder_config = VectorDecoderConfig(**read_arguments(root / "vae/config.json", _Decoder, NAME))
        shift = read_arguments(root / "scheduler/scheduler_config.json", _Scheduler, NAME)["shift"]
        processor = read_arguments(root / "feature_extractor_dinov2/preprocessor_config.json", _Processor, NAME)
        crop = processor["crop_size"].height
        with torch.device("meta"):
            flow, decoder = VectorFlow(flow_config), VectorDecoder(decoder_config)
        filled(flow, weight_files(root / "transformer"), flow_names.published_name, own)
        files = weight_files(root / "vae")
        filled(decoder, files, decoder_names.published_name, torch.float32, decoder_names.IGNORED)
        # The border is a tenth of the object on each side; the middle of the resized picture is what remains.
        margin = 1.2 * crop / processor["size"].shortest_edge
        photo = root / "image_encoder_dinov2"
        encoder = PhotoEncoder.load(photo, False, crop, margin, background=1.0, own_norm=True)
        defaults = FlowSettings(_STEPS, _GUIDANCE, shift=shift)
        info = ShapeSamplerInfo(NAME, LICENSE, "y-up", defaults, record)
        return TripoSG(flow.to(place), decoder.to(place), encoder.to(place), info)

    @property
    def device(self) -> torch.device:
        return next(self.flow.parameters()).device

    @property
    def chunk(self) -> int:
        """Shapes sampled at a time."""
        return self.chunk_size or (4 if self.device.type == "cuda" else 1)

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out at twice the size of the photo's encoder."""
        return prepare(photo, size=2 * self.encoder.size, matting=matting, framing=framing)

    @torch.no_grad()
    def sample(self, request: ShapeRequest, on_step: OnStep | None = None) -> SampledShapes:
        """Draw one shape for each seed; each from its own random numbers."""
        photo = self.encoder.tokens(request.reference)
        parts = [request.seeds[i : i + self.chunk] for i in range(0, len(request.seeds), self.chunk)]
        fields: list[Tensor] = []
        for number, part in enumerate(parts):
            done = number * request.settings.steps
            latents = self._latents(photo, part, request.settings, steps_after(on_step, done))
            fields += [self._distance(each[None]).cpu() for each in latents]
        return SampledShapes(torch.stack(fields), EXTENT, self.info.world)

    def _latents(
        self, photo: Float[Tensor, "1 m e"], seeds: Sequence[int], settings: FlowSettings, report: OnStep
    ) -> Float[Tensor, "n l c"]:
        dtype = next(self.flow.parameters()).dtype
        noise = draw_noise(generators(seeds), (self.vectors, self.flow.config.in_channels)).to(self.device)
        tokens = photo.to(dtype).expand(len(seeds), -1, -1)

        def velocity(x: Tensor, times: Tensor, conditional: bool) -> Tensor:
            given = tokens if conditional else torch.zeros_like(tokens)
            return -self.flow(x.to(dtype), 1000 * times, given).float()  # published: towards the data

        return integrate(velocity, noise, settings, report)

    def _distance(self, latents: Float[Tensor, "1 l c"]) -> Float[Tensor, "g g g"]:
        grid = VoxelGrid(torch.zeros(3, device=self.device), EXTENT, self.resolution)
        tokens = self.decoder.encode(latents)
        points = grid.points().reshape(1, -1, 3).split(_CHUNK, 1)
        logits = torch.cat([self.decoder.ask(tokens, part) for part in points], 1)
        field = logits.reshape((self.resolution,) * 3)
        return reinitialize(distance_near_surface(field, grid.spacing), grid.spacing)
