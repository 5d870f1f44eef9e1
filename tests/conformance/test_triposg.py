"""TripoSG against its own code (commit fc5c409), by the same seeded weights."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from golden import Golden, assert_close_to_golden
from seeded_weights import seeded_state
from torch import Tensor
from upstream import commit_of
from upstream_triposg import DECODER, FLOW, noise, upstream_triposg

from mvdiff.models.triposg import decoder as decoder_names
from mvdiff.models.triposg import transformer as flow_names
from mvdiff.models.triposg.decoder import VectorDecoder, VectorDecoderConfig
from mvdiff.models.triposg.transformer import VectorFlow, VectorFlowConfig
from mvdiff.sampling.rectified_flow import FlowSettings, integrate
from mvdiff.weights.published import load_published

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
TIMES = (1000.0, 470.0, 30.0)
GUIDANCE, SHIFT, STEPS = 7.0, 2.0, 4


def tokens(count: int) -> Tensor:
    return torch.randn(1, 7, 24, generator=torch.Generator().manual_seed(9)).expand(count, -1, -1)


def points(count: int) -> Tensor:
    return torch.rand(count, 30, 3, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.fixture
def ours() -> SimpleNamespace:
    flow, decoder = VectorFlow(VectorFlowConfig(**FLOW)), VectorDecoder(VectorDecoderConfig(**DECODER))
    for module, names in ((flow, flow_names), (decoder, decoder_names)):
        module.eval().requires_grad_(False)
        shapes = {names.published_name(name): tuple(value.shape) for name, value in module.state_dict().items()}
        load_published(module, seeded_state(shapes), names.published_name, "the seeded weights")
    return SimpleNamespace(flow=flow, decoder=decoder)


def sampled(flow: VectorFlow, start: Tensor) -> Tensor:
    def velocity(x: Tensor, times: Tensor, conditional: bool) -> Tensor:
        return -flow(x, 1000 * times, tokens(len(x)) * conditional)

    return integrate(velocity, start, FlowSettings(STEPS, GUIDANCE, shift=SHIFT))


def outputs(model: SimpleNamespace) -> dict[str, Tensor]:
    found = {f"velocity_{t:.0f}": model.flow(noise(2), torch.full((2,), t), tokens(2)) for t in TIMES}
    found["samples"] = sampled(model.flow, noise(2))
    return found | {"logits": model.decoder.ask(model.decoder.encode(noise(2)), points(2))}


def replayed(theirs: SimpleNamespace) -> Tensor:
    """The published loop of four guided steps."""
    scheduler, x = theirs.scheduler(shift=SHIFT), noise(2)
    scheduler.set_timesteps(STEPS)
    context = torch.cat([torch.zeros_like(tokens(2)), tokens(2)])
    for time in scheduler.timesteps:
        both = theirs.flow(torch.cat([x, x]), time.expand(4), encoder_hidden_states=context, return_dict=False)[0]
        free, conditional = both.chunk(2)
        x = scheduler.step(free + GUIDANCE * (conditional - free), time, x, return_dict=False)[0]
    return x


def test_upstream_gives_the_golden_tensors_and_its_weights_fit(
    upstream_checkout: Callable[[str], Path], golden: Callable[[str], Golden], ours: SimpleNamespace
) -> None:
    folder = upstream_checkout("TripoSG")
    theirs = upstream_triposg(folder)
    found = {
        f"velocity_{t:.0f}": theirs.flow(noise(2), torch.full((2,), t), encoder_hidden_states=tokens(2)).sample
        for t in TIMES
    }
    found["samples"] = replayed(theirs)
    found["logits"] = -theirs.vae.decode(noise(2), points(2)).sample[..., 0]  # published: positive inside
    golden("triposg").hold(found, commit_of(folder))
    load_published(ours.flow, theirs.flow.state_dict(), flow_names.published_name, "upstream's weights")
    state = theirs.vae.state_dict()
    load_published(ours.decoder, state, decoder_names.published_name, "upstream's weights", decoder_names.IGNORED)
    assert_close_to_golden(outputs(ours), found)
    with torch.device("meta"):
        full, coder = (each() for each in theirs.classes)
    assert_same_shapes(full, flow_names.published_name, VectorFlow, VectorFlowConfig())
    assert_same_shapes(coder, decoder_names.published_name, VectorDecoder, VectorDecoderConfig())


def assert_same_shapes(theirs: torch.nn.Module, name_of: Callable[[str], str], kind: type, config: object) -> None:
    """The published full size has the same names and shapes, but for what is not needed."""
    with torch.device("meta"):
        own = {name_of(name): value.shape for name, value in kind(config).state_dict().items()}
    there = {name: value.shape for name, value in theirs.state_dict().items()}
    assert own == {name: shape for name, shape in there.items() if not name.startswith(decoder_names.IGNORED)}


def test_ours_gives_the_golden_tensors(golden: Callable[[str], Golden], ours: SimpleNamespace) -> None:
    assert_close_to_golden(outputs(ours), golden("triposg").load())


def test_an_object_does_not_depend_on_the_others_of_its_batch(ours: SimpleNamespace) -> None:
    alone, together = sampled(ours.flow, noise(3)[2:]), sampled(ours.flow, noise(3))
    torch.testing.assert_close(alone[0], together[2], **CLOSE)


def test_the_published_size() -> None:
    """The paper's 1.5 billion parameters; the published file has 5.76 GB in 32 bits."""
    with torch.device("meta"):
        networks = VectorFlow(VectorFlowConfig()), VectorDecoder(VectorDecoderConfig())
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts == [1_439_556_160, 214_208_513]
    assert round(4 * counts[0] / 1e9, 2) == 5.76
