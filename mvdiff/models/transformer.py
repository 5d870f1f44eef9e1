"""The multi-view diffusion transformer: denoises all views of an object together, in pixel space, predicting x.

After "Back to basics: let denoising generative models denoise" (Li and He 2025): no autoencoder, large patches, and the
network outputs the clean picture. Target and photo tokens meet in one joint attention, and every token carries its own
camera.
"""

import logging
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mvdiff.models.cameras import ProjectivePositions, harmonics, patch_centers, pluecker_rays, projections
from mvdiff.models.layers import GatedMLP, RMSNorm

_RAY_OCTAVES = 6

# diffusers warns of modules to be kept in float32 even where its list of them is empty.
logging.getLogger("diffusers.models.modeling_utils").addFilter(lambda record: "float32: []" not in record.getMessage())


@dataclass
class MultiViewTransformerOutput(BaseOutput):
    """Output of :class:`MultiViewTransformer`."""

    sample: Tensor
    """The predicted clean views, [b v c h w]."""


class JointAttentionProcessor:
    """Attention over all tokens of all views and photos, on any backend of diffusers' dispatch."""

    _attention_backend = None
    _parallel_config = None

    def __call__(
        self, attention: "JointAttention", hidden: Float[Tensor, "b n d"], positions: ProjectivePositions
    ) -> Float[Tensor, "b n d"]:
        query, key, value = rearrange(attention.to_qkv(hidden), "b n (t h d) -> t b n h d", t=3, h=attention.heads)
        query, key = attention.norm_q(query).to(value.dtype), attention.norm_k(key).to(value.dtype)
        query, key, value = positions.query(query), positions.key(key), positions.value(value)
        mixed = dispatch_attention_fn(
            query, key, value, backend=self._attention_backend, parallel_config=self._parallel_config
        )
        return attention.to_out(positions.output(mixed).flatten(2))


class JointAttention(nn.Module, AttentionModuleMixin):
    _default_processor_cls = JointAttentionProcessor
    _available_processors: ClassVar = [JointAttentionProcessor]
    _supports_qkv_fusion = False
    processor: JointAttentionProcessor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.norm_q, self.norm_k = RMSNorm(width // heads), RMSNorm(width // heads)
        self.set_processor(JointAttentionProcessor())

    def forward(self, hidden: Float[Tensor, "b n d"], positions: ProjectivePositions) -> Float[Tensor, "b n d"]:
        return self.processor(self, hidden, positions)


class Block(nn.Module):
    """Pre-norm block with adaptive scale, shift and gate (one shared projection and a small table per block)."""

    def __init__(self, width: int, heads: int, mlp_hidden: int) -> None:
        super().__init__()
        self.norm1 = RMSNorm(width, elementwise_affine=False)
        self.attention = JointAttention(width, heads)
        self.norm2 = RMSNorm(width, elementwise_affine=False)
        self.mlp = GatedMLP(width, mlp_hidden)
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(
        self, hidden: Float[Tensor, "b n d"], modulation: Float[Tensor, "b 6 d"], positions: ProjectivePositions
    ) -> Float[Tensor, "b n d"]:
        scale1, shift1, gate1, scale2, shift2, gate2 = (
            (modulation + self.modulation).to(hidden.dtype)[:, :, None].unbind(1)
        )
        attended = self.attention(torch.addcmul(shift1, self.norm1(hidden), 1 + scale1), positions)
        hidden = torch.addcmul(hidden, gate1, attended)
        return torch.addcmul(hidden, gate2, self.mlp(torch.addcmul(shift2, self.norm2(hidden), 1 + scale2)))


class MultiViewTransformer(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """Predicts clean views from noisy ones, given photos and all cameras.

    Each view has its own noise level, so that any subset of views may be given clean (timestep 0). With two
    ``noise_groups`` so has each group of a view's channels: of a photo the colors may be clean and the depth noisy.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["Block"]
    _repeated_blocks: ClassVar = ["Block"]

    @register_to_config
    def __init__(
        self,
        sample_size: int = 128,
        in_channels: int = 8,
        patch_size: int = 16,
        reference_channels: int = 4,
        reference_size: int = 128,
        reference_patch_size: int = 8,
        width: int = 448,
        depth: int = 10,
        heads: int = 7,
        mlp_ratio: float = 2.5714286,
        learnt_guidance: float = 1.0,
        guidance_below: float = 1.0,
        noise_groups: int = 1,
        condition_channels: int = 0,
    ) -> None:
        """Build the network; every optional part begins as if it were absent.

        Args:
            reference_channels: of the photos that come beside the views; 0 leaves out that branch.
            learnt_guidance: the scale of classifier-free guidance that a pass with the photo shown amounts to.
            guidance_below: the noise level above which ``learnt_guidance`` is 1.
            noise_groups: 2 gives two groups of a view's channels a noise level each.
            condition_channels: of pictures that come with each view, such as other views warped into it.
        """
        super().__init__()
        if width % heads or (width // heads) % 8:
            raise ValueError(f"width / heads must be a multiple of 8 for the camera positions, got {width} / {heads}.")
        if noise_groups not in (1, 2):
            raise ValueError(f"A view's channels have one or two noise levels, not {noise_groups}.")
        self.gradient_checkpointing = False
        pixels = in_channels * patch_size**2
        self.embed_view = nn.Linear(pixels, width)
        if reference_channels:
            self.embed_reference = nn.Linear(reference_channels * reference_patch_size**2, width)
        self.embed_ray = nn.Sequential(nn.Linear(6 * (2 * _RAY_OCTAVES + 1), width), nn.SiLU(), nn.Linear(width, width))
        self.embed_time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.embed_view_time = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 6 * width)
        if reference_channels:
            self.reference_type = nn.Parameter(torch.randn(width) * 0.02)
            self.no_reference = nn.Parameter(torch.randn(width) * 0.02)
        self.blocks = nn.ModuleList([Block(width, heads, round(width * mlp_ratio / 64) * 64) for _ in range(depth)])
        self.norm_out = RMSNorm(width, elementwise_affine=False)
        self.modulation_out = nn.Linear(width, 2 * width)
        self.proj_out = nn.Linear(width, pixels)
        # Every block starts as the identity and the whole network as zero.
        for layer in (self.modulation, self.modulation_out, self.proj_out, self.embed_view_time):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # Without bias: what has nothing to say, a second level like the first or an empty condition, changes nothing.
        if noise_groups == 2:
            self.embed_group_time = _zero_linear(width, width)
        if condition_channels:
            self.embed_condition = _zero_linear(condition_channels * patch_size**2, width)

    def claim_guidance(self, scale: float, below: float = 1.0) -> None:
        """Set the learnt guidance of a network that is trained to have it."""
        claimed = {"learnt_guidance": scale, "guidance_below": below}
        # What diffusers still takes for a default, its from_config would not copy.
        defaults = [name for name in self.config.get("_use_default_values", ()) if name not in claimed]
        self.register_to_config(**claimed, _use_default_values=defaults)

    def learnt_guidance_at(self, sigma: float) -> float:
        """The scale of guidance that a pass at noise level ``sigma`` amounts to."""
        return self.config.learnt_guidance if sigma <= self.config.guidance_below else 1.0

    def forward(
        self,
        sample: Float[Tensor, "b v c h w"],
        timestep: Float[Tensor, "b v *g"],
        reference: Float[Tensor, "b m k s s"] | None,
        target_c2w: Float[Tensor, "b v 4 4"],
        target_lens: Float[Tensor, "b v 4"],
        reference_c2w: Float[Tensor, "b m 4 4"] | None = None,
        reference_lens: Float[Tensor, "b m 4"] | None = None,
        drop_reference: Bool[Tensor, "b"] | None = None,
        return_dict: bool = True,
        condition: Float[Tensor, "b v e h w"] | None = None,
    ) -> MultiViewTransformerOutput | tuple[Tensor]:
        """Predict the clean views.

        Args:
            timestep: from 0 (clean) to 1000 (noise), of each view [b v] or of each group of its channels [b v 2].
            target_lens: lenses as ``camera_tensors`` gives them; pictures are in [-1, 1].
            reference: photos beside the views; None where the network has no branch for them.
            drop_reference: hides the photos of a batch entry, for classifier-free guidance.
            condition: pictures that come with the views; None is the same as zeros.
        """
        config, views = self.config, sample.shape[1]
        patches = config.sample_size // config.patch_size
        points = patch_centers(patches, sample.device)
        device = sample.device.type
        # Of all that passes through, the residual stream too: the step is bound by memory, and ten blocks add up well
        # in 16 bits. Pictures become so before they are laid out as patches, and parameters before they are added.
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else self.embed_view.weight.dtype

        # The noisiest view sets the block's modulation; each view's own level rides on its tokens.
        main_time = self.embed_time(_sinusoids(timestep.flatten(1).amax(1)).to(dtype))
        tokens = self.embed_view(_patched(sample.to(dtype), config.patch_size))
        tokens = tokens + self._view_time(timestep, dtype)[:, :, None]
        tokens = tokens + self._rays(target_c2w, target_lens, points, dtype)
        if condition is not None:
            tokens = tokens + self.embed_condition(_patched(condition.to(dtype), config.patch_size))
        hidden, all_points = tokens.flatten(1, 2), points.repeat(views, 1)
        matrices = self._token_projections(target_c2w, target_lens, len(points))
        if reference is not None:
            photo_points = patch_centers(reference.shape[-1] // config.reference_patch_size, sample.device)
            photo = self._photo_tokens(reference.to(dtype), drop_reference)
            photo = photo + self._rays(reference_c2w, reference_lens, photo_points, dtype)
            hidden = torch.cat([hidden, photo.flatten(1, 2)], 1)
            of_photos = self._token_projections(reference_c2w, reference_lens, len(photo_points))
            matrices = [torch.cat(pair, 1) for pair in zip(matrices, of_photos, strict=True)]
            all_points = torch.cat([all_points, photo_points.repeat(reference.shape[1], 1)])

        positions = ProjectivePositions(*matrices, all_points, config.width // config.heads, hidden.dtype)
        modulation = self.modulation(nn.functional.silu(main_time)).unflatten(-1, (6, -1))
        for block in self.blocks:
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                hidden = self._gradient_checkpointing_func(block, hidden, modulation, positions)
            else:
                hidden = block(hidden, modulation, positions)
        scale, shift = self.modulation_out(nn.functional.silu(main_time))[:, None].chunk(2, -1)
        hidden = self.norm_out(hidden[:, : views * patches**2]) * (1 + scale) + shift
        output = rearrange(
            self.proj_out(hidden),
            "b (v y x) (c p q) -> b v c (y p) (x q)",
            v=views,
            y=patches,
            p=config.patch_size,
            q=config.patch_size,
        )
        return MultiViewTransformerOutput(sample=output) if return_dict else (output,)

    def _view_time(self, timestep: Float[Tensor, "b v *g"], dtype: torch.dtype) -> Float[Tensor, "b v d"]:
        """The embedded level of each view's first group, and how that of the second differs."""
        time = self.embed_time(_sinusoids(timestep).to(dtype))
        if timestep.ndim == 2:
            return self.embed_view_time(time)
        first, second = time.unbind(2)
        return self.embed_view_time(first) + self.embed_group_time(second - first)

    def _photo_tokens(
        self, reference: Float[Tensor, "b m k s s"], drop: Bool[Tensor, "b"] | None
    ) -> Float[Tensor, "b m p d"]:
        photo = self.embed_reference(_patched(reference, self.config.reference_patch_size))
        if drop is not None:
            photo = torch.where(drop[:, None, None, None], self.no_reference.to(photo.dtype), photo)
        return photo + self.reference_type.to(photo.dtype)

    def _rays(self, c2w: Tensor, lens: Tensor, points: Tensor, dtype: torch.dtype) -> Float[Tensor, "b v p d"]:
        return self.embed_ray(harmonics(pluecker_rays(c2w, lens, points), _RAY_OCTAVES).to(dtype))

    @staticmethod
    def _token_projections(c2w: Tensor, lens: Tensor, tokens: int) -> list[Float[Tensor, "b n 4 4"]]:
        """Each view's projection and its inverse, once for each of its tokens."""
        return [matrix.repeat_interleave(tokens, dim=1) for matrix in projections(c2w, lens)]


def _patched(pictures: Float[Tensor, "b v c h w"], size: int) -> Float[Tensor, "b v p n"]:
    return rearrange(pictures, "b v c (y p) (x q) -> b v (y x) (c p q)", p=size, q=size)


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def _sinusoids(timestep: Float[Tensor, "*b"], channels: int = 256) -> Float[Tensor, "*b {channels}"]:
    half = channels // 2
    frequency = torch.exp(-math.log(10_000) * torch.arange(half, device=timestep.device) / half)
    angle = timestep[..., None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)
