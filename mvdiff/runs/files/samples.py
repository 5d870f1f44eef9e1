"""Sampled views of a run: ``views/NNN/`` with the photo's camera, the tensors, a contact sheet and images.

Sources of shapes leave their registration there, too, and until the run is complete the shape itself.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.sampler import PlacedShape, Sampled
from recon.core.paths import is_file
from recon.core.reading import read_json, reading
from recon.core.views import ViewSet
from recon.io.folders import OutputFolder, atomic_write, write_json
from recon.io.images.files import VIEW_PNG
from recon.io.views import transforms_json
from recon.ops.parallel import in_threads
from recon.posterior import Hypothesis, load_hypothesis, save_hypothesis

_REMEDY = "run the command that made this run again, with --overwrite"


def load_sample(output: OutputFolder, index: int) -> Sampled | None:
    """The sample [1] of one hypothesis; None where it was not written whole."""
    names = _sample_files(index)
    if not all(output.has(name) for name in names):
        return None
    with reading(output.path / names[0], "camera of a photo", _REMEDY):
        record = read_json(output.path / names[0], dict[str, float])
        camera = PhotoCamera(**{name: torch.tensor([value]) for name, value in record.items()})
    with reading(output.path / names[1], "sample", _REMEDY):
        views = ViewSet.load(output.path / names[1])
        if len(views) != 1:
            raise ValueError(f"it holds {len(views)} hypotheses")
        return Sampled(views, camera, _load_shape(output, index))


def save_samples(output: OutputFolder, samples: Mapping[int, Sampled]) -> None:
    """Write the samples [1] of some hypotheses, by their index."""
    output.list_files(*(name for index, sample in samples.items() for name in _files_of(index, sample)))

    def save(index: int) -> None:
        views, photo_camera = samples[index]
        for shape in samples[index].shapes:  # first: a sample without the others counts as not written
            _save_shape(output, index, shape)
        camera, tensors, sheet = _sample_files(index)
        write_json(output.path / camera, {name: float(value[0]) for name, value in vars(photo_camera).items()})
        with atomic_write(output.path / sheet) as temporary:
            contact_sheet(views).save(temporary, **VIEW_PNG)
        views.save((output.path / tensors).parent)

    in_threads(save, list(samples))


def _files_of(index: int, sample: Sampled) -> tuple[str, ...]:
    own = (shape_file(index), _registration_file(index)) if sample.shapes else ()
    return *own, *_sample_files(index)


def _load_shape(output: OutputFolder, index: int) -> tuple[PlacedShape, ...]:
    """The shape of a hypothesis; none for sources of views and for complete runs, which have its mesh."""
    if not output.has(shape_file(index)):
        return ()
    with reading(output.path / _registration_file(index), "registration", _REMEDY):
        record = read_json(output.path / _registration_file(index), dict[str, Any])
    return (PlacedShape(load_hypothesis(output.path / shape_file(index)).mesh, record),)


def _save_shape(output: OutputFolder, index: int, shape: PlacedShape) -> None:
    save_hypothesis(Hypothesis(shape.mesh), output.path / shape_file(index))
    write_json(output.path / _registration_file(index), dict(shape.registration))


def shape_file(index: int) -> str:
    """Shape of a hypothesis, kept until the run is complete."""
    return f"views/{index:03d}/shape.npz"


def _registration_file(index: int) -> str:
    return f"views/{index:03d}/registration.json"


def write_transforms(output: OutputFolder, views: ViewSet) -> None:
    """Write the views [n v] for other programs: transforms.json and RGBA images, one folder for each hypothesis."""

    def write(index: int) -> list[str]:
        folder = (output.path / _sample_files(index)[1]).parent
        transforms_json.save(views, folder, hypothesis=index)
        return [str(path.relative_to(output.path)) for path in sorted(folder.rglob("*")) if is_file(path)]

    output.list_files(*(name for names in in_threads(write, range(len(views))) for name in names))


def _sample_files(index: int) -> tuple[str, str, str]:
    folder = f"views/{index:03d}"
    return f"{folder}/photo_camera.json", f"{folder}/views.safetensors", f"{folder}/sheet.png"


def contact_sheet(views: ViewSet) -> Image.Image:
    """Contact sheet of one hypothesis [1 v]: rows of colors, normals and depths, transparent outside the object."""
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
