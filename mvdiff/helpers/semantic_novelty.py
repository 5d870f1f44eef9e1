"""Semantic novelty of a photo: its distance to known photos in the features of a pretrained encoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.sampling.reference import ReferenceImage
from recon.core.errors import InputError
from recon.core.reading import check_finite, read_safetensors, reading
from recon.core.tensors import safetensors_bytes
from recon.io.folders import write_bytes

Encoder = Callable[[Float[Tensor, "c 4 h w"]], Float[Tensor, "c d"]]

_FORMAT = "mvdiff-features/1"
_FEWEST = 5
_NEIGHBORS = 3


@dataclass(frozen=True)
class KnownPhotos:
    """Features of photos of objects that a model knows."""

    features: Float[Tensor, "m d"]
    """Features of unit length."""

    @staticmethod
    def of(encoder: Encoder, references: Sequence[ReferenceImage]) -> "KnownPhotos":
        """Encode photos. Raises :class:`InputError` for fewer than 5."""
        if len(references) < _FEWEST:
            raise InputError(f"Semantic novelty needs at least {_FEWEST} known photos, not {len(references)}.")
        return KnownPhotos(torch.cat([encode(encoder, each) for each in references]))

    def distances(self, features: Float[Tensor, "c d"]) -> Float[Tensor, "c"]:
        """1 - cosine to the nearest known photos, averaged over 3 (Ramaswamy et al. 2000)."""
        return (1 - features @ self.features.mT).sort(dim=1).values[:, :_NEIGHBORS].mean(1)

    def p_value(self, encoder: Encoder, reference: ReferenceImage) -> float:
        """Share of the known photos, this one included, that are at least as far from all others.

        Small if nothing like the photo is known (conformal p-value, Vovk et al. 2005).
        """
        everything = torch.cat([self.features, encode(encoder, reference)])
        far = torch.stack([_distance_from_others(everything, k) for k in range(len(everything))])
        return float((far >= far[-1] - 1e-7).float().mean())

    def save(self, path: Path) -> Path:
        """Write one safetensors file."""
        return write_bytes(path, safetensors_bytes({"features": self.features.contiguous()}, {"format": _FORMAT}))

    @staticmethod
    def load(path: Path) -> "KnownPhotos":
        """Read what :meth:`save` wrote. Raises :class:`InputError` for any other file."""
        with reading(path, "file of features", "make it again from known photos"):
            tensors, header = read_safetensors(path)
            if header.get("format") != _FORMAT or tensors["features"].ndim != 2 or len(tensors["features"]) < _FEWEST:
                raise ValueError(f"its header does not say {_FORMAT}")
            check_finite(tensors)
            return KnownPhotos(tensors["features"])


def encode(encoder: Encoder, reference: ReferenceImage) -> Float[Tensor, "1 d"]:
    """Features of unit length of a cut-out photo."""
    rgba = reference.rgba
    features = encoder(torch.cat([rgba[:3] * rgba[3:], rgba[3:]])[None])
    return torch.nn.functional.normalize(features, dim=-1)


def _distance_from_others(features: Float[Tensor, "m d"], index: int) -> Float[Tensor, ""]:
    others = torch.cat([features[:index], features[index + 1 :]])
    return KnownPhotos(others).distances(features[index : index + 1])[0]
