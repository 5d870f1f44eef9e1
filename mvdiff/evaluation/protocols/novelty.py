"""Protocol: how well a photo's novelty score separates objects from pictures of nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mvdiff.backbones.novelty import HARMLESS, judge
from mvdiff.evaluation.benchmarks.machine import provenance
from mvdiff.evaluation.jobs.jobs import self_errors
from mvdiff.evaluation.jobs.objects import ObjectSet, View, photograph
from mvdiff.evaluation.protocols.non_objects import KINDS, non_object
from mvdiff.runs.image_to_3d import ImageTo3D
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.settings import SamplingConfig
from recon.core.errors import InputError
from recon.io.folders import write_json
from recon.metrics.probabilistic import auroc
from recon.posterior.novelty import novelty_distance


@dataclass(frozen=True)
class NoveltyConfig(SamplingConfig):
    meshes: tuple[Path, ...] = ()
    """Folders of meshes or mesh packs; they shall not be those of the calibration."""
    procedural: int = 0
    """So many procedural objects."""
    non_objects: int = 40
    """Noise, pages of text, gradients and landscapes, in turn."""
    output: Path = Path("novelty.json")
    weights: str = "embedded"
    device: str = "auto"
    calibration: str = "default"
    """Calibration whose photos count as known; without one, every second object does."""
    limit: int | None = None
    seed: int = 0

    def check(self) -> None:
        super().check()
        if not self.meshes and not self.procedural:
            raise InputError("There are no objects to tell apart: pass --meshes, --procedural, or both.")
        if self.non_objects < 1:
            raise InputError("--non-objects is at least 1.")
        if self.output.suffix != ".json":
            raise InputError(f"The output is a .json file, not '{self.output}'.")


def judge_novelty(config: NoveltyConfig, model: ImageTo3D, command: str = "") -> dict[str, Any]:
    """AUROC and p-values; written and returned."""
    config.check()
    objects = ObjectSet(config.meshes, config.limit, procedural=config.procedural)
    pictures = []
    for index, name in enumerate(objects.names):
        view = View.of(name, config.seed)
        pictures.append(("object", name, photograph(objects.mesh(index).to(model.device), view)))
    pictures += [(*non_object(config.seed + k),) for k in range(config.non_objects)]
    scored = []
    for k, (kind, *rest) in enumerate(pictures):
        settings = GenerationConfig(
            num_hypotheses=2, seed=config.seed + k, framing="keep", matting=False, **config.sampling
        )
        reference = model.prepare(rest[-1], settings)
        scores = self_errors(model, reference, model.sample(reference, settings))
        scored.append(
            {"kind": kind, "name": rest[0] if len(rest) > 1 else f"{kind}/{config.seed + k}", "scores": scores}
        )
    own = [entry for entry in scored if entry["kind"] == "object"]
    calibration, _ = model.calibrations.choose("keep", {})
    known = dict(calibration.scores) if calibration else {}
    if not known:
        known = {name: [entry["scores"][name] for entry in own[::2]] for name in own[0]["scores"]}
        own = own[1::2]
    for entry in scored:
        entry["distance"] = novelty_distance(entry["scores"], known, HARMLESS)
        entry["p_value"] = judge(entry["scores"], known).p_value
    apart = torch.tensor([entry["distance"] for entry in own])
    summary: dict[str, Any] = {"objects": len(own), "known": len(next(iter(known.values())))}
    summary["objects_below_05"] = float(sum((e["p_value"] or 1) < 0.05 for e in own) / max(len(own), 1))
    for kind in (None, *KINDS):
        strange = [e for e in scored if e["kind"] != "object" and kind in (None, e["kind"])]
        if strange and own:
            summary[f"auroc_{kind or 'all'}"] = auroc(torch.tensor([e["distance"] for e in strange]), apart)
    results = {
        **provenance(command, model),
        "calibration": None if calibration is None else calibration.name,
        "summary": summary,
        "pictures": scored,
    }
    write_json(config.output, results)
    return results
