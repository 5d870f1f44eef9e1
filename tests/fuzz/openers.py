"""Functions that open files for reading, found in the source, and those that the fuzzer need not reach."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: The reading layer's functions, and whatever opens files beside it.
_LAYER = {"read_bytes", "read_text", "read_json", "read_yaml", "read_npz", "read_safetensors", "check_file"}
_RAW = {"Image.open", "np.load", "np.loadtxt", "np.genfromtxt", "safe_open", "load_file", "tarfile.open", "json.load"}
_RAW |= {
    "zipfile.ZipFile",
    "torch.load",
    "trimesh.load",
    "trimesh.load_scene",
    "Usd.Stage.Open",
    "av.open",
    "cv2.imread",
}
_RAW |= {"open", "gzip.open", "csv.reader", "np.fromfile", "read_image"}

#: Methods of that name that open no file, or leave it to another function here.
_OTHER = {
    "os.open",
    "wall.open",
    "FolderStore.open",
    "SceneFolder.open",
    "FinishedRun.open",
    "FinishedScenes.open",
    "Records.open",
}
_OTHER |= {"RgbdSequence.open", "rgbd.RgbdSequence.open", "Gltf.open", "self._open"}

#: Functions that only read what this package ships, wrote a moment ago, or the machine tells.
EXEMPT = {
    "mvdiff.weights.licenses:*": "a list that this program keeps of the licenses that its user accepted",
    "mvdiff.client:_upload": "sends a file as it is",
    "mvdiff.integrations.blender.addon.*": "runs in Blender's own Python, on runs of this program",
    "mvdiff.integrations.blender.archive:*": "files of this package",
    "mvdiff.integrations.comfyui.convert:*": "meshes that ComfyUI has in memory",
    "mvdiff.integrations.comfyui.install:*": "files of this package",
    "mvdiff.serving.memory:*": "what the system tells of its memory",
    "mvdiff.serving.photos:*": "records that the server itself has written",
    "mvdiff.serving.runs:*": "runs of the server, whose damaged records are left out of its list",
    "mvdiff.serving.server:*": "the server's own database and key",
    "mvdiff.serving.web.jobs:get_preview": "a picture that the worker has just drawn",
    "mvdiff.serving.view:*": "pages of a run, sent as they are",
    "mvdiff.batch.index:write_index": "a page of this package",
    "mvdiff.batch.worker:_keep": "a run that the worker has just written",
    "mvdiff.runs.scene_folder:SceneFolder.copy_photo": "copies a file as it is",
    "mvdiff.runs.scene_refine:FinishedScenes.begin": "the hash of a file",
    "mvdiff.serving.tasks:Sampling.load": "passes a folder to the readers of weights",
    "mvdiff.serving.tools:_pack": "files of a run, packed as they are",
    "recon.io.images.network_matte:_network": "weights of this package",
    "recon.core.reading:*": "the layer itself",
    "recon.report.explorer.write:_file": "a file of this package",
    "recon.report.report:render_report": "a file of this package",
    "recon.scenes.files.video:_write_mp4": "writes",
    "recon.posterior.storage:_write": "writes",
    "recon.io.folders:atomic_write": "writes",
    "mvdiff.evaluation.benchmarks.job:*": "files that the benchmark itself has written",
    "mvdiff.evaluation.benchmarks.machine:*": "what the system tells of its processor",
    "mvdiff.evaluation.jobs.runner:*": "strips that the evaluation itself has written",
    "mvdiff.evaluation.protocols.scene_runner:*": "strips that the evaluation itself has written",
    "mvdiff.training.tracking:Tracker.picture": "a picture that the trainer has just written",
    "mvdiff.training.matting:load_photographs": "a folder of a developer's own backgrounds",
    "mvdiff.data.sources.listed:_fetch": "a hash of a file out of a repository, which load_mesh reads",
    "mvdiff.data.stores.shards:ShardWriter.*": "a set that is being written; what does not fit is written anew",
    "mvdiff.data.dataset:claim": "a set that is being written; what does not fit is written anew",
    "mvdiff.weights.packing:_forget_place": "a config that was written a moment ago",
    "mvdiff.weights.packing:_digest": "a hash",
    "mvdiff.backbones.embedded:EmbeddedSampler.from_pretrained": "a hash of an adapter that has been read",
    "mvdiff.runs.refine:FinishedRun.parent": "a hash of a manifest that has been read",
    "mvdiff.runs.scene_folder:_with_pictures": "a file that was written a moment ago",
}


def openers() -> Iterator[tuple[str, str]]:
    """(module:qualified name, what it calls) of each function that opens a file."""
    for package in ("recon", "mvdiff"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield from _of(ast.parse(path.read_text("utf-8")), module, "")


def _of(node: ast.AST, module: str, inside: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            name = f"{inside}.{child.name}" if inside else child.name
        if isinstance(child, ast.Call) and inside and (called := _opens(child)):
            yield f"{module}:{inside}", called
        yield from _of(child, module, name)


def _opens(call: ast.Call) -> str | None:
    written = ast.unparse(call.func)
    last = written.rsplit(".", 1)[-1]
    if written in _RAW or last in _LAYER:
        return written
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if last == "open" and not any(mode[:1] in "wxa" for mode in modes) and written not in _OTHER:
        return written
    return None
