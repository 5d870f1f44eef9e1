"""What a run leaves for use: weights as pipeline folders or as a LoRA file, with a model card."""

import shutil
from pathlib import Path
from typing import Any

from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.pipelines.lora_loader import LORA_FILE, adapted_networks, write_lora
from mvdiff.sampling.schedulers import make_scheduler
from mvdiff.training.lora import ADAPTER
from mvdiff.training.model_card import write_card
from mvdiff.training.objective import Objective


def export_run(folder: Path, averaged: Objective, raw: Objective, provenance: dict[str, Any]) -> None:
    """``lora.safetensors`` in the run's folder, or ``ema/`` to use and ``raw/`` to continue from."""
    if averaged.adapts:
        base = {name: provenance[name] for name in ("base", "base_sha256", "step", "version")}
        networks = adapted_networks(averaged, ADAPTER)
        write_lora(folder / LORA_FILE, networks, ADAPTER, base)
        write_card(folder, provenance, adapted=tuple(networks))
        return
    for name, objective in (("ema", averaged), ("raw", raw)):
        pipeline = MultiViewDiffusionPipeline(objective.transformer, objective.camera_estimator, make_scheduler())
        # Beside first: a run that is exported again leaves no mixture of both.
        temporary, final = folder / f".{name}.partial", folder / name
        shutil.rmtree(temporary, ignore_errors=True)
        pipeline.save_pretrained(temporary)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        write_card(final, provenance)
