"""Semantic novelty of a photo: its distance to known photos in the features of a pretrained encoder."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.helpers.dinov2 import Dinov2Encoder, features_record
from mvdiff.sampling.reference import ReferenceImage, prepare
from recon.core.errors import InputError
from recon.core.paths import PICTURES, is_folder
from recon.core.reading import check_finite, read_safetensors, reading
from recon.core.tensors import safetensors_bytes
from recon.io.folders import write_bytes

Encoder = Callable[[Float[Tensor, "c 4 h w"]], Float[Tensor, "c d"]]

_FORMAT = "mvdiff-features/1"
_FEWEST = 5
_NEIGHBORS = 3
#: p-value from which on a photo counts as unlike all known ones.
_UNLIKE = 0.05


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


@dataclass(frozen=True)
class Likeness:
    """Likeness of a photo to known ones."""

    p_value: float
    """Share of the known photos, this one included, that are at least as far from all others."""
    known: int

    @property
    def warnings(self) -> tuple[str, ...]:
        if self.p_value > _UNLIKE:
            return ()
        return (
            f"Nothing like this is among the {self.known} known photos (semantic novelty, p = {self.p_value:.3f}): the "
            "hypotheses may miss what it is.",
        )

    def record(self) -> dict[str, Any]:
        return {"p_value": self.p_value, "known": self.known}


@dataclass(frozen=True)
class SemanticNovelty:
    """An encoder and the photos that it knows."""

    encoder: Encoder
    known: KnownPhotos

    @property
    def record(self) -> dict[str, Any]:
        """Identity for manifests."""
        data = self.known.features.contiguous().numpy().tobytes()
        return features_record(self.encoder) | {"sha256": hashlib.sha256(data).hexdigest()}

    def judge(self, reference: ReferenceImage) -> Likeness:
        return Likeness(self.known.p_value(self.encoder, reference), len(self.known.features))


def load_semantic(
    features: str | Path | None, known: str | Path | None, device: str = "auto"
) -> SemanticNovelty | None:
    """Load an encoder and encode a folder of known photos, or read a file of their features; None without ``known``.

    Raises:
        InputError: there is no encoder, a photo cannot be used, or there are fewer than 5.
    """
    if known is None:
        return None
    if features is None:
        raise InputError("Known photos are compared by features: pass --features FOLDER of DINOv2.")
    encoder, place = Dinov2Encoder.from_folder(Path(features), device), Path(known)
    if not is_folder(place):
        found = KnownPhotos.load(place)
        if found.features.shape[1] != (own := encoder.size):
            raise InputError(
                f"'{place}' has features of {found.features.shape[1]} numbers, not of {own}: make it again."
            )
        return SemanticNovelty(encoder, found)
    photos = sorted(path for path in place.iterdir() if path.suffix.lower() in PICTURES and path.name[0] != ".")
    return SemanticNovelty(encoder, KnownPhotos.of(encoder, [prepare(path) for path in photos]))
