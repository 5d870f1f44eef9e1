"""Views from files: saved ViewSets or posed pictures of others."""

from pathlib import Path

from recon.errors import InputError
from recon.io import transforms_json
from recon.views import ViewSet


def load_views(path: Path) -> ViewSet:
    """A saved ViewSet or a transforms.json, whichever ``path`` is or holds."""
    if path.suffix == ".safetensors" or (path / "views.safetensors").is_file():
        try:
            return ViewSet.load(path)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"'{path}' is not a readable ViewSet ({error}): save it again.") from error
    return transforms_json.load(path)
