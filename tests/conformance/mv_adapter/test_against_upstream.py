"""MV-Adapter against its authors' pipeline, with the same seeded weights in both and the same noise."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import upstream
from golden import Golden
from PIL import Image
from tiny_mvadapter import adapter_state, save_tiny, scheduler, tiny_adapter, tiny_modules
from transformers import CLIPTokenizer

from mvdiff.backbones.mvadapter import views
from mvdiff.backbones.mvadapter.denoising import denoise
from mvdiff.backbones.mvadapter.loading import NEGATIVE, PROMPT, load_networks
from mvdiff.backbones.mvadapter.networks import Networks

SIZE, STEPS, GUIDANCE = 64, 4, 3.0
#: Imported by upstream and not needed for tensors.
_ABSENT = ("torchvision", "nvdiffrast", "nvdiffrast.torch")
#: Where upstream takes its sums in another order, and after four steps.
TOLERANCE = {"condition": 1e-5, "bank": 1e-5, "pass": 1e-5, "latents": 1e-4, "decoded": 1e-4, "unguided": 1e-4}


def cutout() -> Image.Image:
    rgba = np.zeros((50, 64, 4), np.uint8)
    rgba[10:41, 20:44] = (200, 80, 30, 255)
    rgba[20:30, 24:30] = (20, 80, 200, 255)
    rgba[10:12, 20:44, 3] = 100
    return Image.fromarray(rgba)


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return save_tiny(tmp_path_factory.mktemp("mvadapter") / "weights")


@pytest.fixture(scope="module")
def networks(folder: Path) -> Networks:
    return load_networks(folder, torch.device("cpu"), torch.float32)


def reference(networks: Networks) -> torch.Tensor:
    return networks.posterior(views.as_pixels(views.framed(cutout(), SIZE)))[0]


def state() -> torch.Tensor:
    return torch.randn(12, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(3))


def our_tensors(networks: Networks) -> dict[str, torch.Tensor]:
    """Everything that is compared, by our code."""
    picture, control = views.framed(cutout(), SIZE), views.control_images(views.rig(SIZE))
    pixels = views.as_pixels(picture)
    with torch.no_grad():
        latents = denoise(networks, pixels, control, [stream()], STEPS, GUIDANCE)
        bank = networks.bank(reference(networks), SIZE)
        one = next(iter(bank.values()))
        both = {name: torch.cat([torch.zeros_like(tokens), tokens]) for name, tokens in bank.items()}
        made = networks.unet(
            state(),
            torch.tensor(500),
            **networks.conditions(6, SIZE, True),
            cross_attention_kwargs={"bank": both, "num_views": 6},
            down_intrablock_additional_residuals=networks.camera_features(control, 2),
        ).sample
        return {
            "picture": torch.from_numpy(np.array(picture)).float()[::4, ::4],
            "control": control[..., 0, 0],
            "sigmas": networks.scheduler.sigmas[::40],
            "prompt": torch.cat([networks.negative.tokens, networks.prompt.tokens])[:, ::8],
            "pooled": torch.cat([networks.negative.pooled, networks.prompt.pooled]),
            "condition": reference(networks),
            "bank": one[..., ::4],
            "camera": networks.camera_features(control, 1)[-1],
            "pass": made,
            "latents": latents[0],
            "decoded": networks.decode(latents[0])[..., ::8, ::8],
            "unguided": denoise(networks, pixels, control, [stream()], STEPS, 1.0)[0],
        }


def check(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = max(1.0, float(value.abs().max()))
        assert float((found[name] - value).abs().max()) <= TOLERANCE.get(name, 1e-6) * scale, name


def test_our_tensors_are_the_golden_ones(networks: Networks, golden: Callable[[str], Golden]) -> None:
    check(our_tensors(networks), golden("mv_adapter").load())


def test_upstream_gives_the_golden_tensors(
    networks: Networks, folder: Path, golden: Callable[[str], Golden], upstream_checkout: Callable[[str], Path]
) -> None:
    checkout = upstream_checkout("mv-adapter")
    found = upstream_tensors(folder, checkout)
    golden("mv_adapter").hold(found, upstream.commit_of(checkout))
    check(our_tensors(networks), found)


def upstream_tensors(folder: Path, checkout: Path) -> dict[str, torch.Tensor]:
    """The same tensors by the authors' code."""
    modules = _modules_of(checkout)
    pipe = _pipeline(folder, modules)
    control = _control(modules)
    picture = modules["script"].preprocess_image(cutout(), SIZE, SIZE)
    given = {"height": SIZE, "width": SIZE, "num_inference_steps": STEPS, "num_images_per_prompt": 6}
    given |= {"control_image": control, "reference_image": picture, "negative_prompt": NEGATIVE}
    with torch.no_grad():
        latents = pipe(PROMPT, guidance_scale=GUIDANCE, generator=stream(), output_type="latent", **given).images
        unguided = pipe(PROMPT, guidance_scale=1.0, generator=stream(), output_type="latent", **given).images
        decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        positive, negative, pooled, pooled_negative = pipe.encode_prompt(PROMPT, negative_prompt=NEGATIVE)
        pixels = pipe.image_processor.preprocess(picture)
        condition = pipe.vae.encode(pixels).latent_dist.mode() * pipe.vae.config.scaling_factor
        bank, sizes = {}, torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]]).float()
        pipe.unet(
            condition,
            torch.tensor(0),
            encoder_hidden_states=positive,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            cross_attention_kwargs={"cache_hidden_states": bank, "use_mv": False, "use_ref": False},
        )
        kept = {name: tokens.repeat_interleave(6, 0) for name, tokens in bank.items()}
        kept = {name: torch.cat([torch.zeros_like(tokens), tokens]) for name, tokens in kept.items()}
        made = pipe.unet(
            state(),
            torch.tensor(500),
            encoder_hidden_states=torch.cat([negative.expand(6, -1, -1), positive.expand(6, -1, -1)]),
            added_cond_kwargs={
                "text_embeds": torch.cat([pooled_negative.expand(6, -1), pooled.expand(6, -1)]),
                "time_ids": sizes.expand(12, -1),
            },
            cross_attention_kwargs={"ref_hidden_states": kept, "num_views": 6},
            down_intrablock_additional_residuals=pipe.cond_encoder(torch.cat([control] * 2)),
        ).sample
        return {
            "picture": torch.from_numpy(np.array(picture)).float()[::4, ::4],
            "control": control[..., 0, 0],
            "sigmas": pipe.scheduler.__class__.from_config(pipe.scheduler.config).sigmas[::40],
            "prompt": torch.cat([negative, positive])[:, ::8],
            "pooled": torch.cat([pooled_negative, pooled]),
            "condition": condition,
            "bank": next(tokens for name, tokens in bank.items() if "attn1" in name)[..., ::4],
            "camera": pipe.cond_encoder(control)[-1],
            "pass": made,
            "latents": latents,
            "decoded": (decoded / 2 + 0.5).clamp(0, 1)[..., ::8, ::8],
            "unguided": unguided,
        }


def _modules_of(checkout: Path) -> dict[str, Any]:
    """The authors' modules; what they import besides is not needed for tensors."""
    # In place of the packages' __init__, which import renderers for GPUs.
    utilities, meshes = ModuleType("mvadapter.utils"), ModuleType("mvadapter.utils.mesh_utils")
    for package in (utilities, meshes):
        package.__path__ = [str(checkout / package.__name__.replace(".", "/"))]
        sys.modules[package.__name__] = package
    utilities.make_image_grid = None
    sys.path.insert(0, str(checkout))
    try:
        with upstream.stubbed(*_ABSENT):
            pipeline = import_module("mvadapter.pipelines.pipeline_mvadapter_i2mv_sdxl")
            schedule = import_module("mvadapter.schedulers.scheduling_shift_snr")
            geometry = import_module("mvadapter.utils.geometry")
            camera = import_module("mvadapter.utils.mesh_utils.camera")
            meshes.get_orthogonal_camera = camera.get_orthogonal_camera
            script = upstream.load_file(checkout / "scripts/inference_i2mv_sdxl.py", "mvadapter_script")
    finally:
        sys.path.remove(str(checkout))
    return {
        "pipeline": pipeline.MVAdapterI2MVSDXLPipeline,
        "schedule": schedule.ShiftSNRScheduler,
        "camera": camera,
        "geometry": geometry,
        "script": script,
    }


def _pipeline(folder: Path, modules: dict[str, Any]) -> Any:
    tokenizers = {name: CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")}
    shifted = modules["schedule"].from_scheduler(scheduler(), shift_mode="interpolated", shift_scale=8.0)
    pipe = modules["pipeline"](**tiny_modules(), **tokenizers, scheduler=shifted, add_watermarker=False)
    pipe.init_custom_adapter(num_views=6)
    pipe.cond_encoder = tiny_adapter()
    pipe.load_custom_adapter(adapter_state(), weight_name="")
    pipe.set_progress_bar_config(disable=True)
    pipe.cond_encoder.eval()
    return pipe


def _control(modules: dict[str, Any]) -> torch.Tensor:
    azimuths = [0, 45, 90, 180, 270, 315]
    cameras = modules["camera"].get_orthogonal_camera(
        elevation_deg=[0] * 6,
        distance=[1.8] * 6,
        left=-0.55,
        right=0.55,
        bottom=-0.55,
        top=0.55,
        azimuth_deg=[azimuth - 90 for azimuth in azimuths],
        device="cpu",
    )
    embedded = modules["geometry"].get_plucker_embeds_from_cameras_ortho(cameras.c2w, [1.1] * 6, SIZE)
    return ((embedded + 1.0) / 2.0).clamp(0, 1)
