"""Installation of the nodes into a ComfyUI folder."""

import os
from importlib.resources import files
from pathlib import Path

from recon.core.errors import InputError
from recon.io.folders import write_bytes

FOLDER = "mvdiff"
#: All that ComfyUI reads: it imports the folder and takes these two names.
_MODULE = (
    "from mvdiff.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS\n\n"
    '__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]\n'
)


def install(comfyui: str | os.PathLike) -> list[Path]:
    """Make ``custom_nodes/mvdiff`` with the nodes and the example workflow, and ``input/mvdiff_demo.png``, its photo.

    What an earlier version left is replaced.

    Returns:
        The files written, the nodes' module first.

    Raises:
        InputError: ``comfyui`` is no ComfyUI folder, or other nodes have that name.
    """
    root = Path(comfyui)
    if not (root / "custom_nodes").is_dir():
        raise InputError(f"'{comfyui}' has no folder custom_nodes: give the folder that ComfyUI's main.py lies in.")
    folder = root / "custom_nodes" / FOLDER
    module = folder / "__init__.py"
    if module.is_file() and "mvdiff.integrations" not in module.read_text("utf-8", errors="replace"):
        raise InputError(f"'{folder}' holds other nodes: move them away first.")
    package = files("mvdiff")
    workflows = package / "integrations/comfyui/workflows"
    copies = {
        folder / "example_workflows/photo_to_mesh.json": workflows / "photo_to_mesh.json",  # for the editor
        folder / "photo_to_mesh_api.json": workflows / "photo_to_mesh_api.json",  # for POST /prompt
        root / "input/mvdiff_demo.png": package / "assets/demo.png",
    }
    return [
        write_bytes(module, _MODULE.encode()),
        *(write_bytes(target, source.read_bytes()) for target, source in copies.items()),
    ]
