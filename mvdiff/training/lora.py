"""Low-rank adapters (Hu et al. 2021) instead of all weights: a small file, little memory, an untouched base."""

from dataclasses import dataclass

from mvdiff.models import MultiViewTransformer
from recon.errors import InputError

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
    """Names of the linear layers of the transformer's blocks that are adapted."""


def add_lora(transformer: MultiViewTransformer, config: LoraConfig) -> None:
    """Freeze ``transformer`` and give it a fresh trainable adapter, which at first changes nothing."""
    from peft import LoraConfig as PeftConfig

    if config.rank < 1 or not 0 <= config.dropout < 1:
        raise InputError(f"A LoRA has a rank of at least 1 and a dropout below 1, not {config.rank}, {config.dropout}.")
    known = {name.rpartition(".")[2] for name, module in transformer.named_modules() if hasattr(module, "in_features")}
    unknown = sorted(set(config.targets) - known)
    if unknown or not config.targets:
        raise InputError(f"The transformer has no layer named {unknown}: lora.targets are some of {sorted(known)}.")
    alpha = config.rank if config.alpha is None else config.alpha
    settings = PeftConfig(
        r=config.rank,
        lora_alpha=alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        init_lora_weights=True,
    )
    transformer.requires_grad_(False)
    transformer.add_adapter(settings, ADAPTER)
