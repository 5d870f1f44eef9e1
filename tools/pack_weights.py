"""Pack a trained run into the 8-bit folder that ships in the package (or that --weights takes)."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from torch import nn

from recon.core.errors import InputError


@dataclass
class PackWeights:
    run: tyro.conf.Positional[Path]
    """Folder of a training run."""
    output: Path = Path("mvdiff/weights/embedded")
    which: Literal["ema", "raw"] = "ema"
    """The averaged weights, to use; or the raw ones, to go on training."""
    checkpoint: bool = False
    """Take the last checkpoint of a run that has not ended yet."""


def main(arguments: PackWeights) -> None:
    from mvdiff.weights.packing import save_packed, weights_hash

    record = json.loads((arguments.run / "config.json").read_text())
    if record.get("lora", {}).get("rank"):
        raise InputError(f"{arguments.run} trained a LoRA: its lora.safetensors is used beside the base, with --lora.")
    components = _of_checkpoint(arguments, record) if arguments.checkpoint else _of_export(arguments, record)
    lines = (arguments.run / "metrics.jsonl").read_text().splitlines()
    provenance = {"config": record, "which": arguments.which, "last_metrics": json.loads(lines[-1]) if lines else {}}
    save_packed(components, arguments.output, provenance)
    print(f"{arguments.output}: sha256 {weights_hash(arguments.output)}")


def _of_checkpoint(arguments: PackWeights, record: dict[str, Any]) -> dict[str, nn.Module]:
    """Networks of the last checkpoint."""
    from safetensors.torch import load_file

    from mvdiff.training.checkpoint import find_checkpoint
    from mvdiff.training.config import TrainConfig, apply_overrides
    from mvdiff.training.objective import Objective, build_models
    from mvdiff.training.scenes.objective import SceneObjective, build_scene_transformer

    config = TrainConfig()
    apply_overrides(config, {"task": record.get("task", "objects"), "model": record["model"] | {"init_from": None}})
    apply_overrides(config, {"data": {"record": record["data"]["record"]}})
    if config.task == "scenes":
        objective = SceneObjective(build_scene_transformer(config.model), config.scenes.loss)
    else:
        objective = Objective(*build_models(config), config.loss)
    path = find_checkpoint(arguments.run, "latest") / f"{arguments.which}.safetensors"
    objective.load_state_dict(load_file(path))
    return dict(objective.named_children())


def _of_export(arguments: PackWeights, record: dict[str, Any]) -> dict[str, nn.Module]:
    """Networks of a run that has ended."""
    if record.get("task") == "scenes":
        from mvdiff.pipelines.scene_diffusion import SceneDiffusionPipeline as Pipeline
    else:
        from mvdiff.pipelines import MultiViewDiffusionPipeline as Pipeline
    pipeline = Pipeline.from_pretrained(arguments.run / arguments.which)
    return {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}


if __name__ == "__main__":
    try:
        main(tyro.cli(PackWeights, description=__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
