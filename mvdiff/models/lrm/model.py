"""The network in one piece, its published names, and its size as the shapes of its weights tell it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mvdiff.models.lrm.decoder import PointDecoder
from mvdiff.models.lrm.encoder import CameraViT
from mvdiff.models.lrm.triplane import TriplaneTransformer


@dataclass(frozen=True)
class LRMConfig:
    """Sizes; by default those of InstantMesh's large model."""

    encoder_width: int = 768
    encoder_depth: int = 12
    encoder_hidden: int = 3072
    patch: int = 16
    positions: int = 14
    """Patches along each side of the pictures that the table of positions was learned on."""
    width: int = 1024
    depth: int = 16
    side: int = 32
    """Tokens along each side of a plane; its features are twice as fine."""
    channels: int = 80
    hidden: int = 64
    decoder_depth: int = 4
    head_width: int = 64
    """Channels of an attention head, in both transformers."""

    @staticmethod
    def of(published: Mapping[str, Tensor], head_width: int = 64) -> "LRMConfig":
        """The sizes of published weights. Raises ``KeyError`` where one that determines them is missing."""

        def shape(name: str) -> torch.Size:
            return published[name].shape

        def count(prefix: str) -> int:
            return len({name.removeprefix(prefix).partition(".")[0] for name in published if name.startswith(prefix)})

        embeddings = "encoder.model.embeddings."
        kernel = shape(f"{embeddings}patch_embeddings.projection.weight")
        return LRMConfig(
            encoder_width=kernel[0],
            encoder_depth=count("encoder.model.encoder.layer."),
            encoder_hidden=shape("encoder.model.encoder.layer.0.intermediate.dense.weight")[0],
            patch=kernel[-1],
            positions=round((shape(f"{embeddings}position_embeddings")[1] - 1) ** 0.5),
            width=shape("transformer.pos_embed")[-1],
            depth=count("transformer.layers."),
            side=round((shape("transformer.pos_embed")[1] / 3) ** 0.5),
            channels=shape("transformer.deconv.weight")[1],
            hidden=shape("synthesizer.decoder.net_sdf.0.weight")[0],
            decoder_depth=sum(
                name.startswith("synthesizer.decoder.net_sdf.") and name.endswith("weight") for name in published
            ),
            head_width=head_width,
        )


class LargeReconstructionModel(nn.Module):
    """Views and cameras to a triplane, and the triplane to distances and colors at points of the cube [-1, 1]^3."""

    def __init__(self, config: LRMConfig) -> None:
        super().__init__()
        c = config
        self.encoder = CameraViT(
            c.encoder_width, c.encoder_depth, c.encoder_width // c.head_width, c.encoder_hidden, c.patch, c.positions
        )
        self.transformer = TriplaneTransformer(
            c.width, c.depth, c.width // c.head_width, c.encoder_width, c.side, c.channels
        )
        self.decoder = PointDecoder(c.channels, c.hidden, c.decoder_depth)

    def forward(
        self, pictures: Float[Tensor, "n v 3 h w"], cameras: Float[Tensor, "n v 16"]
    ) -> Float[Tensor, "n 3 c s s"]:
        """Triplanes of ``n`` objects from their views: sRGB on white, sides that are multiples of the patch."""
        tokens = self.encoder(pictures.flatten(0, 1), cameras.flatten(0, 1))
        return self.transformer(tokens.unflatten(0, pictures.shape[:2]).flatten(1, 2))


#: What begins a name here, and what does where the weights are published; the first that fits counts.
_PREFIXES = (
    ("encoder.camera.", "encoder.camera_embedder."),
    ("encoder.patch.", "encoder.model.embeddings.patch_embeddings.projection."),
    ("encoder.class_token", "encoder.model.embeddings.cls_token"),
    ("encoder.positions", "encoder.model.embeddings.position_embeddings"),
    ("encoder.blocks.", "encoder.model.encoder.layer."),
    ("encoder.norm.", "encoder.model.layernorm."),
    ("transformer.tokens", "transformer.pos_embed"),
    ("transformer.blocks.", "transformer.layers."),
    ("transformer.upsample.", "transformer.deconv."),
    ("decoder.distance.", "synthesizer.decoder.net_sdf."),
    ("decoder.color.", "synthesizer.decoder.net_rgb."),
)
_INNER = {
    "encoder": {
        ".modulation.": ".adaLN_modulation.1.",
        ".norm_attention.": ".layernorm_before.",
        ".norm_mlp.": ".layernorm_after.",
        ".query.": ".attention.attention.query.",
        ".key.": ".attention.attention.key.",
        ".value.": ".attention.attention.value.",
        ".out.": ".attention.output.dense.",
        ".up.": ".intermediate.dense.",
        ".down.": ".output.dense.",
    },
    "transformer": {
        ".norm_cross.": ".norm1.",
        ".norm_self.": ".norm2.",
        ".norm_mlp.": ".norm3.",
        ".cross_query.weight": ".cross_attn.q_proj_weight",
        ".cross_key.weight": ".cross_attn.k_proj_weight",
        ".cross_value.weight": ".cross_attn.v_proj_weight",
        ".cross_out.": ".cross_attn.out_proj.",
        ".self_qkv.weight": ".self_attn.in_proj_weight",
        ".self_out.": ".self_attn.out_proj.",
        ".up.": ".mlp.0.",
        ".down.": ".mlp.3.",
    },
}
#: Published weights that marching cubes do not need: vertex offsets and weights of FlexiCubes.
IGNORED = ("synthesizer.decoder.net_deformation.", "synthesizer.decoder.net_weight.")


def published_name(name: str) -> str:
    """Name of a parameter of :class:`LargeReconstructionModel` in InstantMesh's checkpoints."""
    part, inner = name.partition(".")[0], ""
    if ".blocks." in name:
        for ours, inner in _INNER[part].items():
            if ours in name:
                name = name.replace(ours, inner)
                break
    for ours, theirs in _PREFIXES:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name
