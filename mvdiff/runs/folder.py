"""The folder that one photo's results go to; written piece by piece, so that an interrupted run goes on."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from mvdiff.runs.novelty import Novelty
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.core.errors import InputError
from recon.io.views import transforms_json
from recon.io.folders import MANIFEST, OutputFolder, atomic_write, write_json
from recon.io.meshes.glb import save_glb
from recon.io.images.files import VIEW_PNG, load_image
from recon.io.meshes.files import load_mesh, save_mesh
from recon.core.mesh import TexturedMesh
from recon.ops.parallel import in_threads, meanwhile
from recon.posterior import Hypothesis, Posterior
from recon.posterior.next_view import NextView
from recon.report import write_report
from recon.core.views import ViewSet

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import GenerationResult

REPORT = "report.html"
NEXT_VIEW = ("next_view.json", "next_view.png")
_REFERENCE, _DETAIL = ("reference.png", "reference.json"), "reference_detail.png"
_PHOTO = "photo.webp"
_PHOTO_SIZE = 768
_EVIDENCE = "evidence.png"


class GenerationFolder:
    """``manifest.json``, ``photo.webp``, ``reference.*``, ``views/``, ``hypotheses/``, ``posterior.*``,
    ``summary.json`` and ``report.html``."""

    def __init__(self, output: OutputFolder) -> None:
        self.output = output

    @staticmethod
    def create(path: str | os.PathLike, inputs: dict[str, Any], overwrite: bool = False) -> "GenerationFolder":
        output = OutputFolder.create(path, inputs, overwrite=overwrite)
        if not output.resumed:
            for name in NEXT_VIEW:  # made later from the run that was replaced
                (output.path / name).unlink(missing_ok=True)
        return GenerationFolder(output)

    @staticmethod
    def open(path: str | os.PathLike) -> "GenerationFolder":
        """The folder of a complete run; raises :class:`InputError` where there is none."""
        path = Path(path)
        if not (path / MANIFEST).is_file():
            raise InputError(f"'{path}' holds no run: give the output folder of a finished `mvdiff generate`.")
        folder = GenerationFolder(OutputFolder(path, resumed=True))
        inputs = folder.output.manifest["inputs"]
        if inputs.get("verb") in ("views", "reconstruct") or "config" not in inputs:
            raise InputError(f"'{path}' holds no hypotheses with their posterior: give a folder of `mvdiff generate`.")
        if not folder.complete:
            raise InputError(f"The run in '{path}' is not complete: run its own command again to go on, then this one.")
        return folder

    @property
    def path(self) -> Path:
        return self.output.path

    @property
    def complete(self) -> bool:
        manifest = self.output.manifest
        return bool(manifest["complete"]) and all((self.path / name).is_file() for name in manifest["files"])

    @property
    def num_hypotheses(self) -> int:
        """As it was asked for, or found to be enough."""
        manifest = self.output.manifest
        return manifest.get("num_hypotheses", manifest["inputs"]["config"]["num_hypotheses"])

    def add_seconds(self, stage: str, seconds: float) -> None:
        timings = self.output.manifest.get("seconds", {})
        self.output.update(seconds=timings | {stage: round(timings.get(stage, 0.0) + seconds, 3)})

    def finish(self, **entries: Any) -> None:
        for name in self._stage_files():
            (self.path / name).unlink(missing_ok=True)
        kept = [name for name in self.output.manifest["files"] if (self.path / name).is_file()]
        self.output.finish(files=kept, **entries)

    # The photo

    def write_reference(self, reference: ReferenceImage, photo: Any) -> None:
        if all(self.output.has(name) for name in _REFERENCE):
            return
        if not isinstance(photo, ReferenceImage):
            picture = load_image(photo)
            picture.thumbnail((_PHOTO_SIZE, _PHOTO_SIZE))
            with self.output.write(_PHOTO) as temporary:
                picture.save(temporary, quality=90)
        self._note(*_REFERENCE, *([] if reference.detail is None else [_DETAIL]))
        reference.save(self.path)

    @property
    def photo(self) -> Path | None:
        """The photo's picture, where the run was given one."""
        return self.path / _PHOTO if (self.path / _PHOTO).is_file() else None

    def write_evidence(self, picture: Image.Image) -> None:
        """The further picture that a refined run was conditioned on."""
        with self.output.write(_EVIDENCE) as temporary:
            picture.save(temporary)

    # Sampled views

    def load_sample(self, index: int) -> tuple[ViewSet, PhotoCamera] | None:
        names = _sample_files(index)
        if not all(self.output.has(name) for name in names):
            return None
        record = json.loads((self.path / names[0]).read_text("utf-8"))
        return ViewSet.load(self.path / names[1]), PhotoCamera(**{k: torch.tensor([v]) for k, v in record.items()})

    def save_samples(self, samples: Mapping[int, tuple[ViewSet, PhotoCamera]]) -> None:
        """What was sampled of each hypothesis, by its index."""
        self._note(*(name for index in samples for name in _sample_files(index)))
        in_threads(lambda index: self._save_sample(index, *samples[index]), list(samples))

    def _save_sample(self, index: int, views: ViewSet, photo_camera: PhotoCamera) -> None:
        camera, tensors, sheet = _sample_files(index)
        write_json(self.path / camera, {name: float(value[0]) for name, value in vars(photo_camera).items()})
        with atomic_write(self.path / sheet) as temporary:
            contact_sheet(views).save(temporary, **VIEW_PNG)
        views.save((self.path / tensors).parent)

    def write_transforms(self, views: ViewSet) -> None:
        """The same views for other programs: transforms.json and RGBA pictures, one folder for each hypothesis."""

        def write(index: int) -> list[str]:
            folder = (self.path / _sample_files(index)[1]).parent
            transforms_json.save(views, folder, hypothesis=index)
            return [str(path.relative_to(self.path)) for path in sorted(folder.rglob("*")) if path.is_file()]

        self._note(*(name for names in in_threads(write, range(len(views))) for name in names))

    # Fitted hypotheses, kept until the run is complete

    def _stage_files(self) -> list[str]:
        return [f"hypotheses/{index:03d}.npz" for index in range(self.num_hypotheses)]

    def save_stage(self, hypotheses: Sequence[Hypothesis]) -> None:
        names = self._stage_files()
        self._note(*names)
        in_threads(lambda k: hypotheses[k].save(self.path / names[k]), range(len(names)))

    def load_stage(self, views: ViewSet) -> list[Hypothesis] | None:
        names = self._stage_files()
        if not all(self.output.has(name) for name in names):
            return None
        loaded = in_threads(lambda name: Hypothesis.load(self.path / name), names)
        return [_with_views(hypothesis, views[k]) for k, hypothesis in enumerate(loaded)]

    # Results

    def write_results(self, result: "GenerationResult", file_format: str) -> None:
        # First and on all cores: the files below share what it takes from the posterior.
        summary = self._summary(result)
        writers = self._shape_writers(result, file_format)
        with meanwhile(lambda write: write(), writers):
            self._note("summary.json", REPORT)
            write_json(self.path / "summary.json", summary)
            self.output.update(seeds=list(result.posterior.seeds))
            self._write_report(result, summary["out_of_distribution"])

    def _summary(self, result: "GenerationResult") -> dict[str, Any]:
        inputs = self.output.manifest["inputs"]
        return result.posterior.summary() | {
            "photo": inputs["photo"],
            "model": inputs["weights"],
            "out_of_distribution": None if result.novelty is None else result.novelty.record(),
            "matte": result.reference.matte.to_dict(),
        }

    def _write_report(self, result: "GenerationResult", novelty: dict[str, Any] | None) -> None:
        inputs = self.output.manifest["inputs"]
        photos = {"As the model sees it": result.reference.picture()}
        if self.photo is not None:
            photos = {"Photo": load_image(self.photo), **photos}
        if (self.path / _EVIDENCE).is_file():
            photos["Further evidence"] = load_image(self.path / _EVIDENCE)
        write_report(
            self.path / REPORT,
            result.posterior,
            result.hypotheses,
            photos=photos,
            title=inputs["photo"]["name"] or "Hypotheses",
            settings=inputs["config"],
            provenance={
                "mvdiff": inputs["version"],
                **{f"weights {key}": value for key, value in inputs["weights"].items()},
                "photo sha256": inputs["photo"]["sha256"],
                "cut out by": f"{result.reference.matte.method}, confidence {result.reference.matte.confidence:.2f}",
                "hypotheses' seeds": ", ".join(map(str, result.posterior.seeds)),
                **{f"{verb} of": parent["folder"] for verb, parent in _ancestry(inputs)},
                "torch": torch.__version__,
            },
            novelty=novelty,
            change=self.output.manifest.get("change"),
        )

    def write_next_view(self, view: NextView, meshes: Sequence[TexturedMesh]) -> None:
        """``next_view.json`` and the map of it; not among the files that a run needs to be complete."""
        from recon.report.next_view_map import draw_next_view

        write_json(self.path / NEXT_VIEW[0], view.to_dict())
        with atomic_write(self.path / NEXT_VIEW[1]) as temporary:
            draw_next_view(view, meshes).save(temporary, optimize=True)

    def _shape_writers(self, result: "GenerationResult", file_format: str) -> list[Callable[[], None]]:
        """Of the posterior, its middle and each hypothesis; their files are listed already."""
        posterior = result.posterior

        def write_middle() -> None:
            middle = posterior.median if len(posterior.median) else posterior.representative
            save_glb(middle, self.path / "posterior.glb", extras={"coverage": posterior.coverage})

        def write_hypothesis(index: int, path: Path) -> None:
            hypothesis = result.hypotheses[index]
            mesh = posterior.with_spread(hypothesis.mesh, index)
            if file_format == "glb":
                save_glb(mesh, path, extras={"seed": hypothesis.seed})
            else:
                save_mesh(mesh, path)

        names, writers = ["posterior.npz", "posterior.glb"], [lambda: posterior.save(self.path), write_middle]
        for index, hypothesis in enumerate(result.hypotheses):
            stem = f"hypotheses/{index:03d}"
            if file_format == "obj" and hypothesis.mesh.texture is not None:
                names += [f"{stem}.mtl", f"{stem}.png"]
            names.append(f"{stem}.{file_format}")
            writers.append(partial(write_hypothesis, index, self.path / names[-1]))
        self._note(*names)
        return writers

    def load(self) -> "GenerationResult":
        """What a complete run left: meshes from their files, without distance fields."""
        from mvdiff.runs.image_to_3d import GenerationResult

        manifest = self.output.manifest
        if not self.complete:
            raise InputError(f"The run in '{self.path}' is not complete: run the same command again to go on.")
        config = manifest["inputs"]["config"]
        posterior = Posterior.load(self.path)
        samples = [self.load_sample(index) for index in range(self.num_hypotheses)]
        views = ViewSet.cat([sample[0] for sample in samples])
        cameras = {name: torch.cat([getattr(s[1], name) for s in samples]) for name in vars(samples[0][1])}
        hypotheses = tuple(
            Hypothesis(
                mesh=load_mesh(self.path / f"hypotheses/{index:03d}.{config['format']}"),
                seed=posterior.seeds[index],
                weight=float(posterior.weights[index]),
                elevation=float(cameras["elevation"][index]),
                residual=float(posterior.residuals[index]),
                views=views[index],
            )
            for index in range(len(posterior))
        )
        reference = ReferenceImage.load(self.path)
        record = json.loads((self.path / "summary.json").read_text("utf-8")).get("out_of_distribution")
        novelty = None if record is None else Novelty(record["scores"], record["p_value"])
        return GenerationResult(reference, views, PhotoCamera(**cameras), hypotheses, posterior, novelty)

    def _note(self, *names: str) -> None:
        """List files before they are written: a listed one that is missing is made again."""
        files = self.output.manifest["files"]
        new = [name for name in names if name not in files]
        if new:
            self.output.update(files=[*files, *new])


def _sample_files(index: int) -> tuple[str, str, str]:
    folder = f"views/{index:03d}"
    return f"{folder}/photo_camera.json", f"{folder}/views.safetensors", f"{folder}/sheet.png"


def _ancestry(inputs: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What a run was made from, where it was not a photo alone."""
    return [(inputs["verb"], parent) for parent in inputs.get("parents", [])]


def _with_views(hypothesis: Hypothesis, views: ViewSet) -> Hypothesis:
    return replace(hypothesis, views=views)


def contact_sheet(views: ViewSet) -> Image.Image:
    """One hypothesis to look at: a row of colours, one of normals and one of depths, transparent where nothing is."""
    rows = [views.rgb[0]]
    if views.normal is not None:
        rows.append(views.normal[0] * 0.5 + 0.5)
    if views.depth is not None:
        depth = views.depth[0]
        inside = depth > 0
        near, far = (depth[inside].min(), depth[inside].max()) if bool(inside.any()) else (0.0, 1.0)
        rows.append(((far - depth) / max(float(far - near), 1e-6)).expand(-1, 3, -1, -1))
    pictures = [torch.cat([row.clamp(0, 1), views.alpha[0].clamp(0, 1)], 1) for row in rows]
    sheet = torch.cat([torch.cat(list(picture), -1) for picture in pictures], -2)
    return Image.fromarray(np.ascontiguousarray((sheet * 255).round().byte().permute(1, 2, 0).cpu().numpy()))
