"""Sampled views of a run: ``views/NNN/`` with the photo's camera, the tensors, a contact sheet and images."""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.sampler import Sampled
from recon.core.paths import is_file
from recon.core.reading import read_json, reading
from recon.core.views import ViewSet
from recon.io.folders import OutputFolder, atomic_write, write_json
from recon.io.images.files import VIEW_PNG
from recon.io.views import transforms_json
from recon.ops.parallel import in_threads

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
        return Sampled(views, camera)


def save_samples(output: OutputFolder, samples: Mapping[int, Sampled]) -> None:
    """Write the samples [1] of some hypotheses, by their index."""
    output.list_files(*(name for index in samples for name in _sample_files(index)))

    def save(index: int) -> None:
        views, photo_camera = samples[index]
        camera, tensors, sheet = _sample_files(index)
        write_json(output.path / camera, {name: float(value[0]) for name, value in vars(photo_camera).items()})
        with atomic_write(output.path / sheet) as temporary:
            contact_sheet(views).save(temporary, **VIEW_PNG)
        views.save((output.path / tensors).parent)

    in_threads(save, list(samples))


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
