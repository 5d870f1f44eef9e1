"""Training of the matting network on composed photos (see :mod:`mvdiff.data.matting`)."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from mvdiff.data.matting.backgrounds import procedural_backgrounds
from mvdiff.data.matting.compose import compose
from mvdiff.data.matting.layers import PhotoLayers, photo_layers
from mvdiff.data.procedural import make
from mvdiff.data.sources.packs import MeshPack
from mvdiff.devices import pick_device
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.folders import atomic_write, write_json
from recon.io.images.matte_network import SIZE, MatteNetwork

_HELD_OUT = 1 << 30
#: Decay of the average of the weights in each step.
_AVERAGE = 0.995


@dataclass(frozen=True)
class MattingConfig:
    """Settings of the matting network's training."""

    output: Path = Path("matte_network.safetensors")
    """File of the trained weights; measurements are written beside it as .json."""
    packs: tuple[Path, ...] = ()
    """Mesh packs (.npz) whose objects are photographed beside procedural ones."""
    photographs: Path | None = None
    """Folder of pictures that serve as backgrounds beside the procedural ones."""
    objects: int = 1500
    """Number of objects to photograph before training begins."""
    views: int = 4
    """Photos of each object."""
    seconds: float = 2700.0
    """Length of the training in seconds; the learning rate falls to zero over it (cosine)."""
    batch: int = 32
    """Photos in one step."""
    learning_rate: float = 2e-3
    """Peak of AdamW's learning rate."""
    device: str = "auto"
    """Device that renders and trains: auto, cpu, cuda or cuda:N."""
    seed: int = 0
    """Seed of objects, compositions and initial weights."""

    def check(self) -> None:
        if self.output.suffix != ".safetensors":
            raise InputError(f"The output is a .safetensors file, not '{self.output}'.")
        if min(self.objects, self.views, self.batch) < 1 or self.seconds <= 0:
            raise InputError("Objects, views, batch and seconds are positive numbers.")


def train_matting(config: MattingConfig, report: Callable[[str], None] = print) -> dict[str, float]:
    """Train, measure on held-out objects, write the weights; returns the measurements."""
    config.check()
    device = pick_device(config.device)
    torch.manual_seed(config.seed)
    photographs = gather_backgrounds(config)
    start = time.perf_counter()
    pool = gather_layers(config, device, config.objects, config.seed)
    report(f"{len(pool.object)} photos of {config.objects} objects in {time.perf_counter() - start:.0f} s")
    network = MatteNetwork().to(device, memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(_AVERAGE)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=0.01)
    generator = torch.Generator(device).manual_seed(config.seed)
    start, step, passed = time.perf_counter(), 0, 0.0
    while (passed := (time.perf_counter() - start) / config.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * passed))
        loss = matte_loss(network, pool, photographs, config.batch, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        averaged.update_parameters(network)
        step += 1
        if step % 200 == 0:
            report(f"step {step} of {passed:.0%}: loss {loss.item():.4f}")
        if step % 1000 == 0:
            _save(averaged.module, config.output)
    _save(averaged.module, config.output)
    held_out = gather_layers(config, device, max(8, config.objects // 20), _HELD_OUT + config.seed)
    found = {"steps": step} | measure(averaged.module, held_out, procedural_backgrounds(64, _HELD_OUT + config.seed))
    settings = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(config).items() if name != "packs"}
    write_json(config.output.with_suffix(".json"), {"config": settings, "held_out": found})
    report(json.dumps(found))
    return found


def gather_backgrounds(config: MattingConfig) -> UInt8[Tensor, "p 3 s t"]:
    """Procedural pictures and, half of all where there are any, photographs."""
    drawn = procedural_backgrounds(200, config.seed)
    if config.photographs is None:
        return drawn
    taken = load_photographs(config.photographs)
    return torch.cat([drawn, taken.repeat(max(1, len(drawn) // len(taken)), 1, 1, 1)])


def _save(network: torch.nn.Module, path: Path) -> None:
    weights = {name: value.half().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(weights, temporary)


def matte_loss(
    network: torch.nn.Module,
    pool: PhotoLayers,
    photographs: UInt8[Tensor, "p 3 s t"] | None,
    batch: int,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Cross-entropy, absolute error, and absolute error of the alpha's gradients, on freshly composed photos."""
    which = torch.randint(len(pool.object), (batch,), generator=generator, device=pool.object.device)
    photo, alpha = compose(pool[which], photographs, generator)
    with torch.autocast(photo.device.type, torch.bfloat16, enabled=photo.is_cuda):
        logit = network(photo.contiguous(memory_format=torch.channels_last)).float()
    predicted = torch.sigmoid(logit)
    edges = sum((predicted.diff(dim=axis) - alpha.diff(dim=axis)).abs().mean() for axis in (-2, -1))
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logit, alpha)
    return entropy + (predicted - alpha).abs().mean() + 2 * edges


@torch.no_grad()
def measure(
    network: torch.nn.Module, layers: PhotoLayers, photographs: UInt8[Tensor, "p 3 s t"] | None
) -> dict[str, float]:
    """Mask IoU (mean and 10th percentile) and mean absolute error on composed photos."""
    generator = torch.Generator(layers.object.device).manual_seed(_HELD_OUT)
    ious, errors = [], []
    for start in range(0, len(layers.object), 64):
        index = torch.arange(start, min(start + 64, len(layers.object)), device=layers.object.device)
        photo, alpha = compose(layers[index], photographs, generator)
        predicted = torch.sigmoid(network(photo))
        inside, true = predicted > 0.5, alpha > 0.5
        ious.append((inside & true).flatten(1).sum(1) / (inside | true).flatten(1).sum(1).clamp_min(1))
        errors.append((predicted - alpha).abs().flatten(1).mean(1))
    iou = torch.cat(ious)
    return {
        "iou": float(iou.mean()),
        "iou_p10": float(iou.quantile(0.1)),
        "mae": float(torch.cat(errors).mean()),
        "photos": len(iou),
    }


def gather_layers(config: MattingConfig, device: torch.device, objects: int, seed: int) -> PhotoLayers:
    """Photograph objects: procedural ones and, every second time, one of the packs."""
    packs = [MeshPack.load(path) for path in config.packs]
    places = [(pack, index) for pack in packs for index in range(len(pack))]
    choose = np.random.default_rng(seed)

    def one(number: int) -> PhotoLayers:
        mesh: TexturedMesh
        if places and number % 2:
            pack, index = places[int(choose.integers(len(places)))]
            mesh = pack[index].normalized()
        else:
            mesh = make(seed + number).mesh.normalized()
        return photo_layers(mesh.to(device), seed + number, config.views, SIZE)

    return PhotoLayers.cat([one(number) for number in range(objects)])


def load_photographs(folder: Path) -> UInt8[Tensor, "p 3 s t"]:
    """All pictures of a folder at one size, 512 x 256."""
    paths: Sequence[Path] = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not paths:
        raise InputError(f"The folder '{folder}' holds no .png or .jpg pictures.")
    pictures = [np.array(Image.open(path).convert("RGB").resize((512, 256))) for path in paths]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
