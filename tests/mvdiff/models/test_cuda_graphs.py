"""A recorded pass on a GPU is the pass itself."""

import pytest
import torch

from mvdiff.models.cuda_graphs import recordable, recorded
from mvdiff.pipelines import multiview_diffusion
from mvdiff.pipelines.multiview_diffusion import MultiViewDiffusionPipeline
from mvdiff.sampling.reference import prepare
from mvdiff.sampling.rig import RigConfig
from recon.ops.cuda_graphs import CapturedGraph


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recorded_passes_sample_the_same_views(weights, photo, dtype, monkeypatch):
    pipeline = MultiViewDiffusionPipeline.from_pretrained(weights, torch_dtype=dtype).to("cuda")
    pipeline.set_progress_bar_config(disable=True)
    reference = prepare(photo, size=32)
    views = {}
    for threshold in (1, 10**9):
        monkeypatch.setattr(multiview_diffusion, "_WORTH_RECORDING", threshold)
        generators = [torch.Generator().manual_seed(k) for k in range(3)]
        settings = {"num_hypotheses": 3, "num_inference_steps": 4, "guidance_scale": 3.0, "rig": RigConfig(size=32)}
        views[threshold] = pipeline(reference, generator=generators, **settings).views
    for name in ("rgb", "alpha", "normal", "depth"):
        recorded, launched = (getattr(view, name) for view in views.values())
        assert torch.allclose(recorded, launched, atol=1e-3), name


@pytest.mark.cuda
def test_an_answer_outlives_the_next_call():
    double = CapturedGraph(lambda x: x * 2, torch.zeros(3, device="cuda"))
    first, second = double(torch.ones(3, device="cuda")), double(torch.full((3,), 5.0, device="cuda"))
    assert first.tolist() == [2.0] * 3
    assert second.tolist() == [10.0] * 3


@pytest.mark.cuda
def test_what_has_hooks_or_is_compiled_is_not_recorded():
    plain, hooked, compiled = (torch.nn.Sequential(torch.nn.Linear(2, 2)).cuda() for _ in range(3))
    hooked[0]._hf_hook = object()
    compiled[0].compile()
    assert recordable(plain)
    assert not recordable(hooked)
    assert not recordable(compiled)
    assert not recordable(torch.compile(plain))


@pytest.mark.cuda
def test_a_recording_is_kept_as_long_as_it_fits():
    """Inputs and weights in their place may change; other shapes or places, or adapters, make another pass."""
    layer = torch.nn.Linear(2, 2).cuda()
    x = torch.randn(4, 2, device="cuda")

    def forward(value):
        return layer(value)

    with torch.no_grad():
        first = recorded(layer, forward, x)
        assert recorded(layer, forward, -x) is first
        layer.weight.mul_(2)
        assert recorded(layer, forward, x) is first
        assert torch.allclose(first(x), layer(x), atol=1e-5)
        assert recorded(layer, forward, x[:3]) is not first
        layer.weight = torch.nn.Parameter(layer.weight * 3)
        moved = recorded(layer, forward, x)
        assert torch.allclose(moved(x), layer(x), atol=1e-5)
        layer.peft_config = {"mine": None}
        assert recorded(layer, forward, x) is not recorded(layer, forward, x)


def test_the_processor_launches_every_pass():
    assert not recordable(torch.nn.Linear(2, 2))
