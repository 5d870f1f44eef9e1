"""Folders of pulled weights: ``$HF_HOME/mvdiff/NAME``, or any copy of one."""

from pathlib import Path
from typing import Any

from mvdiff.weights.manifest import check_sizes, make_manifest, read_manifest
from recon.core.errors import InputError
from recon.core.paths import is_folder


def pulled_folder(name: str) -> Path:
    """Folder in which ``mvdiff models pull`` stores the weights of a checkpoint."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "mvdiff" / name


def weights_folder(name: str, weights: str | Path) -> Path:
    """The folder that ``--weights`` stands for; "embedded" is what every verb passes when the user names none."""
    return pulled_folder(name) if str(weights) == "embedded" else Path(weights)


def open_weights(name: str, license: str, weights: str | Path) -> tuple[Path, dict[str, Any]]:
    """Folder of a checkpoint's weights, and their record for manifests.

    Raises:
        InputError: there is none, a download was not finished, or files are missing.
    """
    folder = weights_folder(name, weights)
    if not is_folder(folder):
        where = "not on this machine" if str(weights) == "embedded" else f"not at '{folder}'"
        raise InputError(
            f"The weights of {name} are {where}: run `mvdiff models pull {name}`, which says their size first, "
            "or pass --weights FOLDER."
        )
    manifest = read_manifest(folder)
    if manifest is None and str(weights) == "embedded":
        raise InputError(f"The download of {name} is not finished: run `mvdiff models pull {name}` again to go on.")
    if manifest is None:  # a folder that was put together by hand has no known origin
        manifest = make_manifest(name, license, {}, folder)
    check_sizes(manifest, folder)
    if manifest.backbone != name:
        raise InputError(f"'{folder}' holds the weights of {manifest.backbone}, not of {name}: pass another folder.")
    return folder, {"name": str(weights), "backbone": name, **manifest.record()}
