"""``mvdiff reconstruct``: anybody's posed views to a textured mesh."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mvdiff.cli.model_choice import Device
from mvdiff.cli.progress import progress_bars
from mvdiff.cli.terminal import say
from mvdiff.reconstructors.names import ReconstructorName
from mvdiff.sampling.generation import Preset

if TYPE_CHECKING:
    from recon import ViewSet


@dataclass(frozen=True)
class Command:
    """Reconstruct a textured mesh from posed views of one object, in the world of their cameras.

    The views are a ViewSet that this program saved, a transforms.json in the convention of nerfstudio and Blender, a
    text model of COLMAP, or pictures from a turntable. Pictures with transparency are used as they are.
    """

    views: Annotated[Path, tyro.conf.Positional]
    """A views.safetensors, a transforms.json, COLMAP's cameras.txt, a folder that holds one, or turntable pictures."""
    output_dir: Path = Path("out")
    """Folder for the mesh."""
    format: Literal["glb", "ply", "obj"] = "glb"
    """Mesh format."""
    azimuths: tuple[float, ...] = ()
    """Azimuths of turntable images in degrees, in the order of names; else taken from names like az030_el20.png."""
    elevation: float = 0.0
    """Elevation of turntable images, in degrees above the horizon."""
    fov: float = 40.0
    """Vertical field of view of turntable images, in degrees."""
    distance: float = 1.5
    """Distance from the camera to the turntable's axis, in the units of the mesh."""
    device: Device = "auto"
    """Device to run on; "auto" takes a GPU if there is one."""
    preset: Preset = "default"
    """Quality of the reconstruction; "fast" is a draft, "quality" a finer grid."""
    reconstructor: ReconstructorName = "fusion"
    """Way from views to shapes: "fusion", or "lrm", InstantMesh's network, which needs weights."""
    reconstructor_weights: Path | None = None
    """Folder of the reconstructor's converted weights."""
    overwrite: bool = False
    """Replace results of other inputs or settings in the output folder."""
    json: bool = False
    """Print one JSON object on stdout instead of text."""

    def run(self) -> None:
        from mvdiff.devices import pick_device
        from mvdiff.reconstructors.registry import load_reconstructor
        from recon import ReconstructionConfig, ViewSet, reconstruct
        from recon.core.bounding import BoundingSphere
        from recon.io.folders import OutputFolder
        from recon.io.meshes.files import save_mesh
        from recon.io.views.files import load_views
        from recon.io.views.turntable import Turntable

        device = pick_device(self.device)
        config = ReconstructionConfig.preset(self.preset)
        network = load_reconstructor(self.reconstructor, self.reconstructor_weights, device)
        views = load_views(self.views, Turntable(self.azimuths, self.elevation, self.fov, self.distance))
        spheres = [BoundingSphere.of_views(views[k]) for k in range(len(views))]
        inputs = {
            "verb": "reconstruct",
            "views": _digest(views),
            "format": self.format,
            "reconstruction": asdict(config),
        }
        if network is not None:
            inputs["reconstructor"] = {"kind": network.info.name, **network.info.weights}
        names = [f"mesh.{self.format}" if len(views) == 1 else f"mesh-{k:03d}.{self.format}" for k in range(len(views))]
        folder = OutputFolder.create(self.output_dir, inputs, overwrite=self.overwrite)
        if not (folder.manifest["complete"] and all(folder.has(name) for name in names)):
            with progress_bars(self.views.name) as progress:
                progress("reconstruct", 0, 1)
                placed = [s.to_unit(views[k]) if not s.is_unit else views[k] for k, s in enumerate(spheres)]
                made = reconstruct(ViewSet.cat(placed).to(device), config, reconstructor=network)
                progress("reconstruct", 1, 1)
            sidecars = [str(Path(name).with_suffix(suffix)) for name in names for suffix in (".mtl", ".png")]
            folder.update(files=[*names, *(sidecars if self.format == "obj" else [])])
            for name, each, sphere in zip(names, made, spheres, strict=True):
                mesh = each.mesh.to("cpu")
                save_mesh(mesh if sphere.is_unit else sphere.from_unit(mesh), folder.path / name)
            folder.finish(
                residuals=[float(each.residual) for each in made], shifts=[sphere.shift for sphere in spheres]
            )
        if self.json:
            print(json.dumps({"output_dir": str(folder.path)} | folder.manifest, allow_nan=False))
        else:
            say(", ".join(str(folder.path / name) for name in names))
            for name, sphere in zip(names, spheres, strict=True):
                if any(sphere.shift):
                    x, y, z = sphere.shift
                    say(
                        f"  note: the world's origin is far away: for the precision of its file {name} is shifted; add "
                        f"({x:.0f}, {y:.0f}, {z:.0f}) to its coordinates (manifest.json: shifts)"
                    )


def _digest(views: "ViewSet") -> str:
    import hashlib

    digest = hashlib.sha256()
    cameras = (views.cameras.c2w, views.cameras.intrinsics, views.cameras.orthographic)
    for tensor in (views.rgb, views.alpha, views.normal, views.depth, *cameras):
        if tensor is not None:
            digest.update(tensor.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
