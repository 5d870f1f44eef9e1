"""The README.md beside weights that a run made: where they come from and how to use them."""

import json
from pathlib import Path
from typing import Any

from recon.io.folders import write_bytes

PROVENANCE = "provenance.json"


def write_card(folder: Path, provenance: dict[str, Any], adapted: tuple[str, ...] = ()) -> Path:
    """Model card in the Hub's form; ``provenance`` goes beside it as JSON, for ``mvdiff info``.

    ``adapted``: the networks that a LoRA adapts; none where all weights were trained.
    """
    write_bytes(folder / PROVENANCE, (json.dumps(provenance, indent=2, default=str) + "\n").encode())
    return write_bytes(folder / "README.md", _card(folder, provenance, adapted).encode())


def _card(folder: Path, provenance: dict[str, Any], adapted: tuple[str, ...]) -> str:
    config, data = provenance["config"], provenance["data"]
    base = provenance.get("base") or "none: trained from scratch"
    scenes = config.get("task") == "scenes"
    use = f"--lora {folder}" if adapted else f"--weights {folder}"
    kind = f"LoRA adapter of rank {config['lora']['rank']}" if adapted else "full weights, exponential moving average"
    lines = [
        "---",
        "library_name: mvdiff",
        "pipeline_tag: image-to-3d",
        f"tags: [multi-view-diffusion, image-to-3d{', lora' if adapted else ''}]",
        "---",
        "",
        f"# {folder.name}: multi-view diffusion, {kind}",
        "",
        f"    mvdiff {'scene' if scenes else 'generate'} photo.png {use}",
        "",
        "## Provenance",
        "",
        "| | |",
        "|---|---|",
        f"| base | {base} {_short(provenance.get('base_sha256'))} |",
        *([f"| adapts | {', '.join(adapted)} |"] if adapted else []),
        f"| steps | {provenance['step']} of {config['max_steps']}, {provenance['seconds']:.0f} s |",
        f"| objects a step | {provenance['objects_per_step']} |",
        f"| ran on | {provenance['processes']} x {provenance['device']} |",
        f"| learning rate | {config['optimizer']['learning_rate']} ({config['optimizer']['name']}) |",
        f"| seed | {config['seed']} |",
        f"| mvdiff | {provenance['version']} |",
        "",
        "## Data",
        "",
        f"{data['objects']} objects to train on, {data['held_out']} held out.",
        "",
        "| licence | objects |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in data["licences"].items()),
        "",
        "## Validation",
        "",
        "Held-out objects, fixed seeds, averaged weights." if data["held_out"] else "No object was held out.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value:.4g} |" for name, value in provenance["validation"].items() if name.count("/") < 2),
        "",
        f"The settings of the run are in `{PROVENANCE}`. Weights are safetensors; loading them runs no code.",
        "",
    ]
    return "\n".join(lines)


def _short(digest: str | None) -> str:
    return f"(sha256 {digest[:12]}…)" if digest else ""
