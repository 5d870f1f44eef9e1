"""Low-rank adapters (Hu et al. 2021) instead of all weights: a small file, little memory, an untouched base."""

from collections.abc import Iterator
from dataclasses import dataclass

from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from recon.core.errors import InputError

ADAPTER = "default_0"
"""The name that a pipeline gives to the first adapter that it loads."""


@dataclass
class LoraConfig:
    rank: int = 0
    """0 trains all weights."""
    alpha: float | None = None
    """The update is scaled by alpha / rank; None means rank."""
    dropout: float = 0.0
    targets: tuple[str, ...] = ("to_qkv", "to_out", "up", "down")
    """Names of the linear layers of the transformer that are adapted; none leave it as it is."""
    camera_targets: tuple[str, ...] = ("to_qkv", "to_out", "up", "down", "head.0", "head.2")
    """Those of the camera estimator, which a loss without ``camera_weight`` leaves as it is, too."""


def add_lora(
    network: MultiViewTransformer | PhotoCameraEstimator, config: LoraConfig, targets: tuple[str, ...]
) -> None:
    """Freeze ``network`` and give it a fresh trainable adapter, which at first changes nothing."""
    from peft import LoraConfig as PeftConfig

    if config.rank < 1 or not 0 <= config.dropout < 1:
        raise InputError(f"A LoRA has a rank of at least 1 and a dropout below 1, not {config.rank}, {config.dropout}.")
    known = set(_linear_layers(network))
    unknown = sorted(set(targets) - known)
    if unknown:
        raise InputError(
            f"{type(network).__name__} has no layer named {unknown}: a LoRA adapts some of {sorted(known)}."
        )
    alpha = config.rank if config.alpha is None else config.alpha
    settings = PeftConfig(
        r=config.rank,
        lora_alpha=alpha,
        lora_dropout=config.dropout,
        target_modules=list(targets),
        init_lora_weights=True,
    )
    network.requires_grad_(False)
    network.add_adapter(settings, ADAPTER)


def _linear_layers(network: MultiViewTransformer | PhotoCameraEstimator) -> Iterator[str]:
    """Their last names; those that are mere numbers say whose."""
    for name, module in network.named_modules():
        if hasattr(module, "in_features"):
            own = name.rpartition(".")[2]
            yield name if own.isdigit() else own
