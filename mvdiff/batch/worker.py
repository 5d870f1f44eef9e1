"""The worker of a batch: a model, and the run folder of each photo."""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvdiff.batch.keeping import kept_files, move_kept
from recon.core.errors import InputError

if TYPE_CHECKING:
    from mvdiff.runs.image_to_3d import ImageTo3D
    from mvdiff.runs.result import GenerationResult

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")


class PhotoWorker:
    """A :class:`~mvdiff.batch.host.PhotoJob` that generates hypotheses as ``mvdiff generate`` does."""

    def __init__(
        self, model: dict[str, Any], config: dict[str, Any], keep: Sequence[str], threads: int | None, **options: Any
    ) -> None:
        """
        Args:
            model: keyword arguments of :func:`mvdiff.runs.loading.load_model`.
            config: fields of :class:`~mvdiff.sampling.generation.GenerationConfig`.
            keep: words of ``--keep``.
            threads: threads of this process; None leaves torch's own number.
            options: ``chunk_size``, objects sampled at a time.
        """
        if threads is not None:
            os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        import torch

        from mvdiff.sampling.generation import GenerationConfig

        if threads is not None:
            torch.set_num_threads(threads)
        self.config, self.keep = GenerationConfig.from_manifest(config), tuple(keep)
        self.model = _load(model, options.get("chunk_size"))

    def settings(self) -> dict[str, Any]:
        return {**self.model.settings(self.config), "keep": sorted(self.keep)}

    def facts(self) -> dict[str, Any]:
        import torch

        return {"device": str(self.model.device), "gpus": torch.cuda.device_count()}

    def make(self, name: str, data: bytes, work: Path, result: Path) -> dict[str, Any]:
        """Generate one photo, and keep the part of its run folder that is wanted."""
        from dataclasses import asdict

        base = re.sub(r"[^A-Za-z0-9._-]+", "-", name.split("?")[0].rpartition("/")[2])[-80:].lstrip("-.") or "photo"
        path = work.parent / (base if _SUFFIX.search(base) else f"{base}.img")
        path.write_bytes(data)
        with told_by(name, path):
            made = self.model.generate(path, work, **asdict(self.config))
        return _row(made, work) | {"bytes": _keep(work, result, self.keep)}


def _load(model: dict[str, Any], chunk_size: int | None) -> "ImageTo3D":
    from dataclasses import replace

    from mvdiff.runs.loading import load_model

    lora, weights = model.get("lora"), model.get("reconstructor_weights")
    paths = {"lora": lora and Path(lora), "reconstructor_weights": weights and Path(weights)}
    return replace(load_model(**{**model, **paths}), chunk_size=chunk_size)


def _row(made: "GenerationResult", work: Path) -> dict[str, Any]:
    import base64

    from mvdiff.batch.thumbnails import strip_of
    from mvdiff.runs.folder import FolderStore

    store = FolderStore.open(work)
    summary, modes = store.summary, store.summary["modes"]
    unlike = summary.get("out_of_distribution") or {}
    return {
        "ambiguity": summary["ambiguity"]["value"],
        "hypotheses": summary["num_hypotheses"],
        "modes": len(modes),
        "largest_mode": max((mode["mass"] for mode in modes), default=1.0),
        "novelty_p": unlike.get("p_value"),
        "warnings": [*summary["warnings"], *made.reference.matte.warnings],
        "stages": dict(store.manifest.get("seconds", {})),
        "thumbnail": base64.b64encode(strip_of(made)).decode("ascii"),
    }


def _keep(work: Path, result: Path, keep: Sequence[str]) -> int:
    from recon.core.reading import read_json
    from recon.io.folders import MANIFEST

    files = read_json(work / MANIFEST, dict[str, Any])["files"]
    return move_kept(work, result, kept_files(files, keep))


@contextlib.contextmanager
def told_by(name: str, path: Path) -> Any:
    """:class:`InputError` in terms of the photo's name in its listing instead of its temporary file."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error.__cause__
