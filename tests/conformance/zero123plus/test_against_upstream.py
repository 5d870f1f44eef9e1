"""Zero123++ against its authors' pipeline, with the same seeded weights in both and the same noise replayed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import upstream
from diffusers.models.autoencoders import vae
from golden import Golden
from PIL import Image
from tiny_zero123 import processors, save_tiny, scheduler, tiny_modules
from transformers import CLIPTokenizer

from mvdiff.backbones.zero123 import networks as ours
from mvdiff.backbones.zero123.denoising import Reference, denoise
from mvdiff.backbones.zero123.loading import load_networks

#: Height and width of the sheets.
SIZE = (96, 64)
STEPS, GUIDANCE = 4, 4.0


def picture() -> Image.Image:
    rgb = np.full((64, 64, 3), 127, np.uint8)
    rgb[16:56, 20:44] = (200, 80, 30)
    rgb[20:30, 24:30] = (20, 80, 200)
    return Image.fromarray(rgb)


def control() -> Image.Image:
    """A sheet of colors, as the ControlNet takes it."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return Image.fromarray(np.stack([x * 4 % 256, y * 2 % 256, (x + y) % 256], -1).astype(np.uint8))


def streams(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(100 + k) for k in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    return save_tiny(tmp_path_factory.mktemp("zero123") / "weights")


@pytest.fixture(scope="module")
def networks(folder: Path) -> ours.Networks:
    return load_networks(folder, torch.device("cpu"), torch.float32)


def our_tensors(networks: ours.Networks) -> dict[str, torch.Tensor]:
    """Everything that is compared, by our code."""
    source = streams(1)
    sheet = torch.from_numpy(np.array(control())).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        reference = Reference.encode(networks, picture(), source, GUIDANCE)
        colors = denoise(networks, reference, source, STEPS, SIZE)
        normals = denoise(networks, reference, source, STEPS, SIZE, sheet)
        return {
            "pixels_clip": networks.vision_processor(images=picture(), return_tensors="pt").pixel_values[..., ::4, ::4],
            "pixels_vae": networks.reference_pixels(picture())[..., ::4, ::4],
            "embedding": reference.embedding[:, ::8],
            "condition": reference.latents,
            "colors": colors,
            "normals": normals,
            "decoded": networks.decode(colors)[..., ::4, ::4],
            "unscaled_latents": ours.unscale_latents(reference.latents),
            "unscaled_colors": ours.unscale_colors(reference.latents),
        }


TOLERANCE = {"colors": 1e-4, "normals": 1e-4, "decoded": 1e-4}


def check(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        close = TOLERANCE.get(name, 1e-6)
        scale = max(1.0, float(value.abs().max()))
        assert float((found[name] - value).abs().max()) <= close * scale, name


def test_our_tensors_are_the_golden_ones(networks: ours.Networks, golden: Callable[[str], Golden]) -> None:
    check(our_tensors(networks), golden("zero123plus").load())


def test_upstream_gives_the_golden_tensors(
    networks: ours.Networks,
    folder: Path,
    golden: Callable[[str], Golden],
    upstream_checkout: Callable[[str], Path],
) -> None:
    checkout = upstream_checkout("zero123plus")
    found = upstream_tensors(networks, folder, checkout)
    golden("zero123plus").hold(found, upstream.commit_of(checkout))
    check(our_tensors(networks), found)


def upstream_tensors(networks: ours.Networks, folder: Path, checkout: Path) -> dict[str, torch.Tensor]:
    """The same tensors by the authors' code, which draws all of its noise from one stream here."""
    with upstream.stubbed("torchvision"):
        module = upstream.load_file(checkout / "diffusers-support" / "pipeline.py", "zero123plus_upstream")
    (stream,), seen = streams(1), {}
    pipeline = pipeline_of(module, networks, folder)
    encode, prompts = pipeline.encode_condition_image, pipeline.encode_prompt

    def encode_condition_image(pixels: torch.Tensor) -> torch.Tensor:
        seen.setdefault("pixels", pixels)
        name = "empty" if float(pixels.abs().max()) == 0 else "photo"
        if name not in seen:
            seen[name] = encode(pixels)
        return seen[name]

    def encode_prompt(*args: Any, **kwargs: Any) -> Any:
        """In its first call upstream adds the picture to the result; in the second it reads the sum."""
        given = kwargs.get("prompt_embeds")
        if given is not None:
            seen["embedding"] = given
        return prompts(*args, **kwargs)

    pipeline.encode_condition_image, pipeline.encode_prompt = encode_condition_image, encode_prompt
    size = {"height": SIZE[0], "width": SIZE[1]}
    arguments = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "generator": stream, **size}
    with one_stream(stream), torch.no_grad():
        colors = pipeline(picture(), output_type="latent", **arguments).images
        decoded = pipeline.vae.decode(colors / pipeline.vae.config.scaling_factor).sample
        pipeline.add_controlnet(tiny_modules()["controlnet"])
        normals = pipeline(picture(), depth_image=control(), output_type="latent", **arguments).images
    condition = torch.cat([seen["empty"], seen["photo"]])
    clip = processors()["feature_extractor_clip"](images=picture(), return_tensors="pt").pixel_values
    return {
        "pixels_clip": clip[..., ::4, ::4],
        "pixels_vae": seen["pixels"][..., ::4, ::4],
        "embedding": torch.cat([networks.prompt, seen["embedding"]])[:, ::8],
        "condition": condition,
        "colors": module.scale_latents(colors),
        "normals": module.scale_latents(normals),
        "decoded": (module.unscale_image(decoded) / 2 + 0.5).clamp(0, 1)[..., ::4, ::4],
        "unscaled_latents": module.unscale_latents(condition),
        "unscaled_colors": module.unscale_image(condition),
    }


def pipeline_of(module: ModuleType, networks: ours.Networks, folder: Path) -> Any:
    """The authors' pipeline on fresh copies of the same networks."""
    modules = tiny_modules()
    modules.pop("controlnet")
    pipeline = module.Zero123PlusPipeline(
        **modules,
        **processors(),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        scheduler=scheduler(),
        ramping_coefficients=networks.ramp.tolist(),
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.depth_transforms_multi = lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1
    return pipeline


@contextmanager
def one_stream(stream: torch.Generator) -> Iterator[None]:
    """What upstream draws from the global generator comes from ``stream``, picture by picture."""

    def randn_like(value: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.stack([torch.randn(value.shape[1:], generator=stream) for _ in value])

    drawn = vae.randn_tensor

    def randn_tensor(shape: Any, generator: Any = None, **kwargs: Any) -> torch.Tensor:
        return drawn(shape, generator=generator or stream, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn_like", randn_like)
        patch.setattr(vae, "randn_tensor", randn_tensor)
        yield
