"""Camera estimator: a small vision transformer that predicts a distribution over the photo's camera."""

from typing import ClassVar

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.modeling_utils import ModelMixin
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from mvdiff.models.encoding import encode_reference
from mvdiff.models.layers import GatedMLP, RMSNorm
from mvdiff.sampling.photo_camera import PARAMETERS, PhotoCameraDistribution
from mvdiff.sampling.reference import ReferenceImage

#: Typical mean and spread of PARAMETERS, so that the network works with numbers near one.
_MEAN = (0.35, 0.0, 0.05, 0.15)
_SPREAD = (0.40, 0.15, 0.15, 0.20)


def _constants(values: tuple[float, ...], like: Tensor) -> Float[Tensor, "k"]:
    """Filled in on the device: a copy from the host would wait for all work queued there."""
    return torch.stack([torch.full((), value, dtype=like.dtype, device=like.device) for value in values])


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.mlp = GatedMLP(width, round(width * 8 / 3 / 64) * 64)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        query, key, value = rearrange(self.to_qkv(self.norm1(x)), "b n (t h d) -> t b h n d", t=3, h=self.heads)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.to_out(rearrange(mixed, "b h n d -> b n (h d)"))
        return x + self.mlp(self.norm2(x))


class PhotoCameraEstimator(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """p(elevation, crop | photo) as a mixture of Gaussians."""

    _repeated_blocks: ClassVar = ["_Block"]

    @register_to_config
    def __init__(
        self,
        sample_size: int = 128,
        in_channels: int = 4,
        patch_size: int = 8,
        width: int = 192,
        depth: int = 4,
        heads: int = 3,
        components: int = 8,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(in_channels * patch_size**2, width)
        self.position = nn.Parameter(torch.randn((sample_size // patch_size) ** 2, width) * 0.02)
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(depth)])
        self.norm = RMSNorm(width)
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, components * (1 + 2 * len(PARAMETERS)))
        )

    def forward(
        self, reference: Float[Tensor, "b 4 s s"], shown: Int[Tensor, "b k"] | None = None
    ) -> PhotoCameraDistribution:
        """``reference`` in [-1, 1], see ``encode_reference``; ``shown``: the patches that are looked at, not all."""
        patch = self.config.patch_size
        tokens = rearrange(reference, "b c (y p) (x q) -> b (y x) (c p q)", p=patch, q=patch)
        hidden = self.embed(tokens.to(self.embed.weight.dtype)) + self.position
        if shown is not None:
            hidden = hidden.gather(1, shown[..., None].expand(-1, -1, hidden.shape[-1]))
        for block in self.blocks:
            hidden = block(hidden)
        # The mixture's arithmetic stays in full precision whatever the network runs in.
        output = self.head(self.norm(hidden).mean(1)).float().unflatten(-1, (self.config.components, -1))
        logit, mean, log_std = output.split([1, len(PARAMETERS), len(PARAMETERS)], -1)
        spread = _constants(_SPREAD, output)
        return PhotoCameraDistribution(
            log_weights=logit[..., 0],
            means=_constants(_MEAN, output) + spread * mean,
            log_stds=spread.log() + (log_std - 1).clamp(-4, 1),
        )


@torch.no_grad()
def estimate_photo_camera(
    estimator: PhotoCameraEstimator,
    reference: ReferenceImage,
    elevation: float | None = None,
    elevation_prior: tuple[float, float] | None = None,
) -> PhotoCameraDistribution:
    """p(photo camera | photo), given the elevation (or a Gaussian over it) and, for a framed picture, the crop.

    The network is asked about the mirror image, too, which was taken from the same height: it errs otherwise there.
    """
    picture = encode_reference(reference.rgba[None]).to(estimator.device, estimator.dtype)
    distribution = PhotoCameraDistribution.mixture((estimator(picture), estimator(picture.flip(-1)).mirrored()))
    if elevation_prior is not None:
        distribution = distribution.with_elevation_prior(*elevation_prior)
    crop = reference.crop_parameters() if reference.framed else None
    return distribution.conditioned(elevation=elevation, crop=crop)
