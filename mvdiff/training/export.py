"""Export of a trained run: weights as pipeline folders or a LoRA file, with a model card."""

import shutil
from collections.abc import Callable
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
        final = replace_folder(folder / name, pipeline.save_pretrained)
        write_card(final, provenance)


def replace_folder(final: Path, write: Callable[[Path], Any]) -> Path:
    """Let ``write`` fill a folder beside ``final`` and put it in its place: nothing is left of an earlier one."""
    temporary = final.with_name(f".{final.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    write(temporary)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    return final
