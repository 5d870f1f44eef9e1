"""Results of a run: ``hypotheses/``, ``posterior.*``, ``summary.json`` and ``report.html``."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import Image

from mvdiff.backbones.novelty import Novelty
from mvdiff.helpers.semantic_novelty import Likeness
from mvdiff.runs.files.photo import photo_path
from mvdiff.runs.result import GenerationResult
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.sampler import Sampled
from recon.core.paths import is_file
from recon.core.reading import fit, read_json, reading
from recon.io.folders import OutputFolder, write_json
from recon.io.images.files import load_image
from recon.io.meshes.files import load_mesh, save_mesh
from recon.io.meshes.glb import save_glb
from recon.ops.parallel import meanwhile
from recon.posterior import Hypothesis, load_posterior, save_posterior
from recon.report import write_report

REPORT = "report.html"
SUMMARY = "summary.json"
_EVIDENCE = "evidence.png"


def write_result(output: OutputFolder, result: GenerationResult) -> None:
    """Write meshes, posterior, summary and report."""
    # First and on all cores: the files below share what it takes from the posterior.
    summary = _summary(output, result)
    writers = _shape_writers(output, result)
    with meanwhile(lambda write: write(), writers):
        output.list_files(SUMMARY, REPORT)
        write_json(output.path / SUMMARY, summary)
        output.update(seeds=list(result.posterior.seeds))
        _write_report(output, result, summary["out_of_distribution"])


def read_result(output: OutputFolder, sampled: Sampled) -> GenerationResult:
    """Read what :func:`write_result` wrote, around the samples [n] of the run; meshes come without distance fields."""
    views, cameras = sampled
    file_format = output.manifest["inputs"]["config"]["format"]
    posterior = load_posterior(output.path)
    hypotheses = tuple(
        Hypothesis(
            mesh=load_mesh(output.path / f"hypotheses/{index:03d}.{file_format}"),
            seed=posterior.seeds[index],
            weight=float(posterior.weights[index]),
            elevation=float(cameras.elevation[index]),
            residual=None if bool(posterior.residuals[index].isnan()) else float(posterior.residuals[index]),
            views=views[index],
        )
        for index in range(len(posterior))
    )
    summary = read_summary(output)
    record, known = summary.get("out_of_distribution"), summary.get("semantic_novelty")
    novelty = None if record is None else Novelty(record["scores"], record["p_value"])
    likeness = None if known is None else Likeness(**known)
    return GenerationResult(ReferenceImage.load(output.path), views, cameras, hypotheses, posterior, novelty, likeness)


def read_summary(output: OutputFolder) -> dict[str, Any]:
    """The content of ``summary.json``."""
    path = output.path / SUMMARY
    with reading(path, "summary", "run the command that made this run again, with --overwrite"):
        summary = read_json(path, dict[str, Any])
        fit(summary, _Summary)
        return summary


class _Summary(msgspec.Struct, frozen=True):
    """The entries of ``summary.json`` that are read again."""

    class Scores(msgspec.Struct, frozen=True):
        scores: dict[str, float | None]
        p_value: float | None

    class Ambiguity(msgspec.Struct, frozen=True):
        value: float

    class Calibration(msgspec.Struct, frozen=True):
        statement: str

    num_hypotheses: int
    modes: list[Any]
    warnings: list[str]
    ambiguity: Ambiguity
    calibration: Calibration

    class Likeness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        p_value: float
        known: int

    out_of_distribution: Scores | None = None
    semantic_novelty: Likeness | None = None


def write_evidence(output: OutputFolder, picture: Image.Image) -> None:
    """Write the further picture that a refined run is conditioned on."""
    with output.write(_EVIDENCE) as temporary:
        picture.save(temporary)


def _summary(output: OutputFolder, result: GenerationResult) -> dict[str, Any]:
    inputs = output.manifest["inputs"]
    return (
        result.posterior.summary()
        | {
            "photo": inputs["photo"],
            "model": inputs["weights"],
            "out_of_distribution": None if result.novelty is None else result.novelty.record(),
            "matte": result.reference.matte.to_dict(),
        }
        | ({} if result.likeness is None else {"semantic_novelty": result.likeness.record()})
    )


def _write_report(output: OutputFolder, result: GenerationResult, novelty: dict[str, Any] | None) -> None:
    inputs, matte, photo = output.manifest["inputs"], result.reference.matte, photo_path(output)
    photos = {"As the model sees it": result.reference.picture()}
    if photo is not None:
        photos = {"Photo": load_image(photo), **photos}
    if is_file(output.path / _EVIDENCE):
        photos["Further evidence"] = load_image(output.path / _EVIDENCE)
    write_report(
        output.path / REPORT,
        result.posterior,
        result.hypotheses,
        photos=photos,
        title=inputs["photo"]["name"] or "Hypotheses",
        settings=_shown_settings(inputs),
        provenance={
            "mvdiff": inputs["version"],
            **{f"weights {key}": value for key, value in inputs["weights"].items()},
            **{f"mesh {k}": mesh["name"] for k, mesh in enumerate(inputs.get("meshes", []))},
            "photo sha256": inputs["photo"]["sha256"],
            "cut out by": f"{matte.method}, confidence {matte.confidence:.2f}",
            "hypotheses' seeds": ", ".join(map(str, result.posterior.seeds)),
            **{f"{inputs['verb']} of": parent["folder"] for parent in inputs.get("parents", [])},
            "torch": torch.__version__,
        },
        novelty=novelty,
        change=output.manifest.get("change"),
    )


def _shown_settings(inputs: dict[str, Any]) -> dict[str, Any]:
    """Settings that had a part in the run; meshes of other origin were not sampled."""
    if "meshes" not in inputs:
        return inputs["config"]
    used = {name: inputs["config"][name] for name in ("num_hypotheses", "matting", "coverage", "weighting", "format")}
    return used | {"frame": inputs["frame"]}


def _shape_writers(output: OutputFolder, result: GenerationResult) -> list[Callable[[], object]]:
    """Writers of the posterior, its median shape and each hypothesis; their files are listed already."""
    posterior, origin = result.posterior, _origin(output.manifest["inputs"]["weights"])
    file_format = output.manifest["inputs"]["config"]["format"]

    def write_median() -> None:
        median = posterior.median if len(posterior.median) else posterior.representative
        save_glb(median, output.path / "posterior.glb", extras={"coverage": posterior.coverage} | origin)

    def write_hypothesis(index: int, path: Path) -> None:
        hypothesis = result.hypotheses[index]
        mesh = posterior.with_spread(hypothesis.mesh, index)
        if file_format == "glb":
            save_glb(mesh, path, extras={"seed": hypothesis.seed} | origin)
        else:
            save_mesh(mesh, path)

    names = ["posterior.npz", "posterior.glb"]
    writers: list[Callable[[], object]] = [lambda: save_posterior(posterior, output.path), write_median]
    for index, hypothesis in enumerate(result.hypotheses):
        stem = f"hypotheses/{index:03d}"
        if file_format == "obj" and hypothesis.mesh.texture is not None:
            names += [f"{stem}.mtl", f"{stem}.png"]
        names.append(f"{stem}.{file_format}")
        writers.append(partial(write_hypothesis, index, output.path / names[-1]))
    output.list_files(*names)
    return writers


def _origin(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Backbone and license of published weights, for the extras of a GLB."""
    names = {"backbone": "backbone", "license": "weights_license"}
    return {theirs: weights[name] for name, theirs in names.items() if name in weights}
