"""First stage of TRELLIS against its own code (commit 6b0d647), by the same seeded weights."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from golden import Golden, assert_close_to_golden
from seeded_weights import seeded_state
from torch import Tensor
from upstream import commit_of
from upstream_trellis import DECODER, FLOW, noise, upstream_trellis

from mvdiff.models.trellis.decoder import DecoderConfig, OccupancyDecoder, decoder_resolution
from mvdiff.models.trellis.flow import IGNORED, FlowConfig, LatentFlow, published_name
from mvdiff.sampling.rectified_flow import FlowSettings, integrate
from mvdiff.weights.published import load_published

CONFIGS = ("configs/generation/ss_flow_img_dit_L_16l8_fp16.json", "configs/vae/ss_vae_conv3d_16l8_fp16.json")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
TIMES = (1000.0, 470.0, 30.0)
#: Guidance acts in some of the four steps only.
SETTINGS = FlowSettings(steps=4, guidance=6.0, interval=(0.5, 0.95), shift=3.0)


def tokens(count: int) -> Tensor:
    return torch.randn(1, 7, 24, generator=torch.Generator().manual_seed(9)).expand(count, -1, -1)


@pytest.fixture
def ours() -> SimpleNamespace:
    flow = LatentFlow(FlowConfig(**FLOW)).eval().requires_grad_(False)
    shapes = {published_name(name): tuple(value.shape) for name, value in flow.state_dict().items()}
    load_published(flow, seeded_state(shapes), published_name, "the seeded weights")
    decoder = OccupancyDecoder(DecoderConfig(**DECODER | {"channels": (16, 8, 6)})).eval().requires_grad_(False)
    decoder.load_state_dict(seeded_state({n: tuple(v.shape) for n, v in decoder.state_dict().items()}))
    return SimpleNamespace(flow=flow, decoder=decoder)


def sampled(flow: LatentFlow, start: Tensor) -> Tensor:
    def velocity(x: Tensor, times: Tensor, conditional: bool) -> Tensor:
        return flow(x, 1000 * times, tokens(len(x)) * conditional)

    return integrate(velocity, start, SETTINGS)


def outputs(model: SimpleNamespace) -> dict[str, Tensor]:
    found = {f"velocity_{t:.0f}": model.flow(noise(2), torch.full((2,), t), tokens(2)) for t in TIMES}
    found["samples"] = sampled(model.flow, noise(2))
    return found | {"occupancy": model.decoder(noise(2))}


def test_upstream_gives_the_golden_tensors_and_its_weights_fit(
    upstream_checkout: Callable[[str], Path], golden: Callable[[str], Golden], ours: SimpleNamespace
) -> None:
    folder = upstream_checkout("TRELLIS")
    theirs = upstream_trellis(folder)
    found = {f"velocity_{t:.0f}": theirs.flow(noise(2), torch.full((2,), t), tokens(2)) for t in TIMES}
    found["samples"] = theirs.sampler.sample(
        theirs.flow,
        noise(2),
        cond=tokens(2),
        neg_cond=torch.zeros_like(tokens(2)),
        steps=4,
        rescale_t=3.0,
        cfg_strength=5.0,  # of (1 + s) a - s b: our scale is 1 + s
        cfg_interval=(0.5, 0.95),
        verbose=False,
    ).samples
    found["occupancy"] = theirs.decoder(noise(2))[:, 0]
    golden("trellis").hold(found, commit_of(folder))
    load_published(ours.flow, theirs.flow.state_dict(), published_name, "upstream's weights", IGNORED)
    ours.decoder.load_state_dict(theirs.decoder.state_dict())
    assert_close_to_golden(outputs(ours), found)
    with torch.device("meta"):
        own = LatentFlow(FlowConfig()).state_dict(), OccupancyDecoder(DecoderConfig()).state_dict()
    for config, part, name_of in zip(CONFIGS, own, (published_name, str), strict=True):
        there = {name: value.shape for name, value in full_size(theirs, folder / config).items()}
        assert {name_of(name): value.shape for name, value in part.items()} == there


def full_size(theirs: SimpleNamespace, config: Path) -> dict[str, Tensor]:
    """The state of a published model, without its values and without the code of positions."""
    models = json.loads(config.read_text("utf-8"))["models"]
    part = models.get("denoiser") or models["decoder"]
    with torch.device("meta"):
        state = theirs.classes[part["name"]](**part["args"] | {"use_fp16": False}).state_dict()
    return {name: value for name, value in state.items() if name not in IGNORED}


def test_ours_gives_the_golden_tensors(golden: Callable[[str], Golden], ours: SimpleNamespace) -> None:
    assert_close_to_golden(outputs(ours), golden("trellis").load())


def test_an_object_does_not_depend_on_the_others_of_its_batch(ours: SimpleNamespace) -> None:
    alone, together = sampled(ours.flow, noise(3)[2:]), sampled(ours.flow, noise(3))
    torch.testing.assert_close(alone[0], together[2], **CLOSE)


def test_the_published_sizes() -> None:
    """Those of the published configurations, which a checkout is compared with, too."""
    with torch.device("meta"):
        flow, decoder = LatentFlow(FlowConfig()), OccupancyDecoder(DecoderConfig())
    counts = [sum(p.numel() for p in model.parameters()) for model in (flow, decoder)]
    assert counts == [555_543_560, 73_671_201]
    assert decoder_resolution(DecoderConfig(), FlowConfig().resolution) == 64
