"""Objects that were selected in one photo: a run for each, and one scene of all."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mvdiff.helpers.selecting import Segmenter, SelectedObject, select_objects
from mvdiff.runs.folder import FolderStore
from mvdiff.runs.image_to_3d import ImageTo3D, Progress
from mvdiff.runs.remote import is_url
from mvdiff.runs.result import GenerationResult
from mvdiff.sampling.arrangement import Arrangement, PhotographedObject, arrange
from mvdiff.sampling.generation import GenerationConfig
from mvdiff.sampling.reference import ReferenceImage
from recon.core.cameras import DEFAULT_FOV
from recon.core.errors import InputError
from recon.io.folders import write_bytes, write_json
from recon.io.images.selection import Selection
from recon.io.meshes.glb import PlacedMesh, placed_glb_bytes

SCENE, RECORD = "scene.glb", "scene.json"
_FORMAT = "mvdiff-objects/1"


@dataclass(frozen=True)
class SelectedRun:
    """Results of one photo's selected objects."""

    folders: tuple[str, ...]
    results: tuple[GenerationResult, ...]
    arrangements: tuple[Arrangement, ...]
    """Arrangement of hypothesis k of every object, for each k, then of the representatives; none for one object."""


def prepare_selected(
    model: ImageTo3D,
    photo: str | os.PathLike,
    selections: Sequence[Selection],
    segmenter: Segmenter | None = None,
    config: GenerationConfig | None = None,
) -> list[ReferenceImage]:
    """Cut the selected objects out and frame each for the sampler.

    Raises:
        InputError: the settings do not go with a selection, or a place shows no object.
    """
    config = config or GenerationConfig()
    if not config.matting:
        raise InputError("A selection cuts the object out: leave --no-matting away, or the selection.")
    if config.framing == "keep":
        raise InputError('framing="keep" takes a picture of one object in its middle: leave it away, or the selection.')
    return [_prepared(model, each, config) for each in select_objects(photo, selections, segmenter)]


def _prepared(model: ImageTo3D, selected: SelectedObject, config: GenerationConfig) -> ReferenceImage:
    reference = model.prepare(selected.picture, config)
    return replace(reference, matte=selected.matte)


def object_folders(output_dir: str | os.PathLike, count: int) -> list[str]:
    """The folder itself for one object, else one subfolder for each.

    Raises:
        InputError: a scene of several objects cannot be written behind a URL.
    """
    if count == 1:
        return [str(output_dir)]
    if is_url(output_dir):
        raise InputError(f"Several objects of one photo need a local folder, not '{output_dir}': copy it afterwards.")
    return [str(Path(output_dir) / f"object-{number}") for number in range(1, count + 1)]


def generate_selected(
    model: ImageTo3D,
    photo: str | os.PathLike,
    references: Sequence[ReferenceImage],
    output_dir: str | os.PathLike,
    overwrite: bool = False,
    progress: Callable[[str], Any] | None = None,
    fov: float | None = None,
    **settings: Any,
) -> SelectedRun:
    """Run every selected object of a photo in a folder of its own, then write ``scene.glb`` and ``scene.json``.

    Args:
        model: Sampler and everything after it.
        photo: The photo that the references were cut from.
        references: As :func:`prepare_selected` gives them.
        output_dir: Folder of the run; of several objects, the folder of their folders.
        overwrite: Replace the results of other inputs.
        progress: Context manager of an object's name that yields a :data:`~mvdiff.runs.image_to_3d.Progress`.
        fov: Vertical field of view of the photo in degrees, where it is known.
        settings: Fields of :class:`GenerationConfig`.
    """
    folders = object_folders(output_dir, len(references))
    results = []
    for reference, folder in zip(references, folders, strict=True):
        results.append(_generated(model, photo, reference, folder, overwrite, progress, settings))
    if len(results) == 1:
        return SelectedRun(tuple(folders), tuple(results), ())
    # As they are in their files: a resumed run then writes the same scene.
    results = [FolderStore.open(folder).load_result() for folder in folders]
    arrangements = arrange_results(results, DEFAULT_FOV if fov is None else fov)
    _write_scene(Path(output_dir), results, arrangements, fov)
    return SelectedRun(tuple(folders), tuple(results), tuple(arrangements))


def _generated(
    model: ImageTo3D,
    photo: str | os.PathLike,
    reference: ReferenceImage,
    folder: str,
    overwrite: bool,
    progress: Callable[[str], Any] | None,
    settings: dict[str, Any],
) -> GenerationResult:
    def run(report: Progress | None) -> GenerationResult:
        return model.generate(photo, folder, overwrite, report, reference=reference, **settings)

    if progress is None:
        return run(None)
    with progress(Path(folder).name) as report:
        return run(report)


def arrange_results(results: Sequence[GenerationResult], fov: float) -> list[Arrangement]:
    """Arrangement of hypothesis k of all objects, for each k that all have; then of their representatives."""
    count = min(len(result.hypotheses) for result in results)
    choices = [[k] * len(results) for k in range(count)]
    choices.append([result.posterior.representative_index for result in results])
    return [
        arrange([_photographed(result, k) for result, k in zip(results, chosen, strict=True)], fov)
        for chosen in choices
    ]


def _photographed(result: GenerationResult, index: int) -> PhotographedObject:
    lowest = float(result.hypotheses[index].mesh.vertices[:, 1].min())
    return PhotographedObject(result.reference, result.photo_cameras[index : index + 1], lowest)


def _write_scene(
    folder: Path, results: Sequence[GenerationResult], arrangements: Sequence[Arrangement], fov: float | None
) -> None:
    """The representatives in one frame, and how far sizes vary between hypotheses."""
    *drawn, shown = arrangements
    objects = []
    for number, (result, matrix) in enumerate(zip(results, shown.matrices, strict=True), 1):
        index = result.posterior.representative_index
        mesh = result.posterior.with_spread(result.hypotheses[index].mesh, index)
        extras = {"hypothesis": index, "seed": result.hypotheses[index].seed}
        objects.append(PlacedMesh(f"object-{number}", mesh, matrix, extras))
    record = _record(drawn, shown, fov)
    write_bytes(folder / SCENE, placed_glb_bytes(objects, extras={"photo_camera": shown.camera.tolist()}))
    write_json(folder / RECORD, record)


def _record(drawn: Sequence[Arrangement], shown: Arrangement, fov: float | None) -> dict[str, Any]:
    sizes = torch.stack([each.sizes for each in drawn])
    return {
        "format": _FORMAT,
        "assumption": "All objects stand on one horizontal plane, which gives their sizes relative to one another.",
        "field_of_view_degrees": DEFAULT_FOV if fov is None else fov,
        "field_of_view_from": "assumed" if fov is None else "given",
        "objects": [f"object-{number}" for number in range(1, len(shown.sizes) + 1)],
        "representatives": shown.to_dict(),
        "hypotheses": [each.to_dict() for each in drawn],
        "size_spread": sizes.std(0, correction=0).tolist(),
    }
