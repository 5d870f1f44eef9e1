"""Table of the published checkpoints that this package can run. Free of torch: the command line prints it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recon.core.errors import InputError

#: What is true of every checkpoint but the embedded one, wherever this was written: no model hub could be reached.
NEVER_RUN = "never run with its real weights"
#: What a checkpoint gives: views to reconstruct, shapes, or shapes of views that others sampled.
Kind = Literal["views", "shapes", "reconstructor"]


@dataclass(frozen=True)
class Part:
    """Files of one repository that a checkpoint needs."""

    repo: str
    """Identifier on the hub; another one can be passed, as such identifiers rot."""
    folders: tuple[str, ...]
    """Folders of networks and settings, in the repository and below ``into``; "" is the repository's root."""
    into: str = "."
    """Folder of this part in the folder of the weights."""
    revision: str | None = None
    """Pinned commit of 40 hexadecimal digits; None where it has not been looked up yet."""
    optional: bool = False
    single: tuple[str, ...] = ()
    """Further files, outside of ``folders``."""

    @property
    def patterns(self) -> list[str]:
        """Glob patterns of the files: settings and safetensors, nothing else."""
        kinds = ("*.json", "*.safetensors", "*.txt")
        places = [f"{folder}/" if folder else "" for folder in self.folders]
        return ["model_index.json", *self.single, *(place + kind for place in places for kind in kinds)]


@dataclass(frozen=True)
class Checkpoint:
    """One row of the table."""

    name: str
    """Name that ``--backbone`` takes, or ``--reconstructor``."""
    title: str
    code_license: str
    license: str
    """SPDX identifier of the weights' license."""
    license_url: str
    vram_gb: float | None
    """GPU memory that the authors or this project report, in GB; None where nobody does."""
    frame: str
    """Frame of the hypotheses."""
    views: str
    channels: tuple[str, ...]
    capabilities: str
    conformance: str
    """Reference that its code was compared with, and the tolerance."""
    real_weights: str
    """Whether it has run with its real weights."""
    kind: Kind = "views"
    parts: tuple[Part, ...] = ()
    non_commercial: bool = False
    pickle_of: Mapping[str, str] = field(default_factory=dict)
    """Folder of a network to the pickle that has to be converted for it."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings of sampling that suit this checkpoint."""

    @property
    def option(self) -> str:
        """Option of the command line that takes its name."""
        return f"{'--reconstructor' if self.kind == 'reconstructor' else '--backbone'} {self.name}"


_REWEIGHTING = "reweighting by refine and feedback, own calibration"
_SHAPES = "reweighting by refine and feedback, own calibration, colors by --paint; no candidates, elevation or geometry"
_TESTED = "upstream {}: same tensors for the same weights (1e-5; 1e-4 after four steps)"
_ZERO123 = "sudo-ai/zero123plus-v1.2"
_SHARED = ("vae", "text_encoder", "tokenizer", "vision_encoder", "scheduler")
_PROCESSORS = ("feature_extractor_clip", "feature_extractor_vae")
_TRIPOSG = ("transformer", "vae", "scheduler", "image_encoder_dinov2", "feature_extractor_dinov2")
_TRELLIS = tuple(
    f"ckpts/{name}{suffix}"
    for name in ("ss_flow_img_dit_L_16l8_fp16", "ss_dec_conv3d_16l8_fp16")
    for suffix in (".json", ".safetensors")
)
_VAE = "diffusion_pytorch_model.safetensors"
_SDXL = ("unet", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
_NORMALS = Part("sudo-ai/controlnet-zp12-normal-gen-v1", ("",), "controlnet", optional=True)
_CC_BY_NC = "https://creativecommons.org/licenses/by-nc/4.0"
_STEPS = {"num_inference_steps": 36, "guidance_scale": 4.0, "candidates": 1}
_CHECKED = "upstream 7d0315c: same tensors for the same weights (1e-6; 1e-4 after four steps)"

CHECKPOINTS = (
    Checkpoint(
        name="embedded",
        title="mvdiff (in this package)",
        code_license="Apache-2.0",
        license="Apache-2.0",
        license_url="https://www.apache.org/licenses/LICENSE-2.0",
        vram_gb=2.0,
        frame="photo's azimuth, gravity",
        views="7 of 128 px, 40 degrees",
        channels=("rgb", "alpha", "normal", "depth"),
        capabilities="candidates, refine, feedback, second photo, novelty, calibration",
        conformance="reference implementation",
        real_weights="runs with its real weights in every test",
    ),
    Checkpoint(
        name="zero123plus",
        title="Zero123++ v1.2 and its normal ControlNet",
        code_license="Apache-2.0",
        license="CC-BY-NC-4.0",
        license_url=_CC_BY_NC,
        vram_gb=5.7,
        frame="photo's azimuth, gravity",
        views="6 of 320 px, 30 degrees, and the photo",
        channels=("rgb", "alpha", "normal"),
        capabilities=_REWEIGHTING,
        conformance=_CHECKED,
        real_weights=NEVER_RUN,
        parts=(Part(_ZERO123, ("unet", *_SHARED, *_PROCESSORS)), _NORMALS),
        non_commercial=True,
        defaults=_STEPS,
    ),
    Checkpoint(
        name="zero123plus-white",
        title="Zero123++ v1.2 with InstantMesh's UNet",
        code_license="Apache-2.0",
        license="CC-BY-NC-4.0",  # its card says Apache-2.0, but it was fine-tuned from weights of this license
        license_url=_CC_BY_NC,
        vram_gb=5.7,
        frame="photo's azimuth, gravity; larger in the picture than the photo's object",
        views="6 of 320 px, 30 degrees, and the photo",
        channels=("rgb", "alpha"),
        capabilities=_REWEIGHTING,
        conformance=_CHECKED,
        real_weights=NEVER_RUN,
        parts=(Part(_ZERO123, (*_SHARED, *_PROCESSORS), single=("unet/config.json",)),),
        non_commercial=True,
        pickle_of={"unet": "diffusion_pytorch_model.bin of TencentARC/InstantMesh"},
        defaults=_STEPS | {"num_inference_steps": 75},
    ),
    Checkpoint(
        name="mv-adapter",
        title="MV-Adapter SDXL, one photo",
        code_license="Apache-2.0",
        license="Apache-2.0 AND CreativeML-OpenRAIL++-M",
        license_url="https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
        vram_gb=14.0,
        frame="its own, registered to the photo",
        views="6 of 768 px, orthographic, and the photo",
        channels=("rgb", "alpha"),
        capabilities=_REWEIGHTING,
        conformance="upstream 4277e00: same tensors for the same weights (1e-5; 1e-4 after four steps)",
        real_weights=NEVER_RUN,
        parts=(
            Part("stabilityai/stable-diffusion-xl-base-1.0", _SDXL),
            # The repository also holds the same weights in files of other names.
            Part("madebyollin/sdxl-vae-fp16-fix", (), "vae", single=("config.json", _VAE)),
            Part("huanngzh/mv-adapter", (), "adapter", single=("mvadapter_i2mv_sdxl.safetensors",)),
        ),
        defaults={"num_inference_steps": 50, "guidance_scale": 3.0, "candidates": 1},
    ),
    Checkpoint(
        name="triposg",
        title="TripoSG, 1.5 billion parameters",
        code_license="Apache-2.0",
        license="MIT",
        license_url="https://huggingface.co/VAST-AI/TripoSG",
        vram_gb=8.0,
        frame="its own (+Y up), registered to the photo",
        views="shapes: signed distances on 128^3 cells, and renderings of them",
        channels=("geometry", "color of the photo where it shows the surface"),
        capabilities=_SHAPES,
        conformance=_TESTED.format("fc5c409"),
        real_weights=NEVER_RUN,
        kind="shapes",
        parts=(Part("VAST-AI/TripoSG", _TRIPOSG),),
        defaults={"num_inference_steps": 50, "guidance_scale": 7.0, "candidates": 1},
    ),
    Checkpoint(
        name="trellis-coarse",
        title="TRELLIS, first stage",
        code_license="Apache-2.0",
        license="MIT",
        license_url="https://huggingface.co/microsoft/TRELLIS-image-large",
        vram_gb=None,
        frame="its own (+Z up), registered to the photo",
        views="shapes: occupancy of 64^3 voxels, and renderings of them",
        channels=("geometry", "color of the photo where it shows the surface"),
        capabilities=_SHAPES,
        conformance=_TESTED.format("6b0d647"),
        real_weights=NEVER_RUN,
        kind="shapes",
        parts=(
            Part("microsoft/TRELLIS-image-large", (), single=_TRELLIS),
            Part("facebook/dinov2-with-registers-large", ("",), "image_encoder"),
        ),
        defaults={"num_inference_steps": 25, "guidance_scale": 6.0, "candidates": 1},
    ),
    Checkpoint(
        name="lrm",
        title="InstantMesh's large reconstruction model",
        code_license="Apache-2.0",
        license="Apache-2.0",
        license_url="https://huggingface.co/TencentARC/InstantMesh",
        vram_gb=None,
        frame="that of the views",
        views="shapes of up to 6 pinhole views of any backbone, drawn at 320 px",
        channels=("geometry", "color where no view looks"),
        capabilities="own calibration; no geometry of the photo",
        conformance="upstream 08822c5: same tensors for the same weights (1e-5)",
        real_weights=NEVER_RUN,
        kind="reconstructor",
        pickle_of={".": "instant_mesh_large.ckpt of TencentARC/InstantMesh (prefix lrm_generator.)"},
    ),
)


def find(name: str) -> Checkpoint:
    """Row of a checkpoint.

    Raises:
        InputError: there is none of this name.
    """
    rows = {each.name: each for each in CHECKPOINTS}
    if name not in rows:
        raise InputError(f"There is no published checkpoint '{name}': choose one of {', '.join(rows)}.")
    return rows[name]


def facts(row: Checkpoint) -> dict[str, str]:
    """Columns of the table, as `mvdiff models list` and the documentation print them."""
    sources = [f"{part.repo}@{part.revision[:12] if part.revision else 'COMMIT'}" for part in row.parts]
    sources += [
        f"{pickle}, to be converted" if network == "." else f"{network}: {pickle}, to be converted"
        for network, pickle in row.pickle_of.items()
    ]
    return {
        "license": f"code {row.code_license}, weights {row.license}{' (non-commercial)' if row.non_commercial else ''}",
        "option": row.option,
        "GPU memory": "not reported" if row.vram_gb is None else f"{row.vram_gb:g} GB",
        "frame": row.frame,
        "views": row.views,
        "channels": ", ".join(row.channels),
        "capabilities": row.capabilities,
        "conformance": row.conformance,
        "real weights": row.real_weights,
        "from": ", ".join(sources) or "this package",
    }
