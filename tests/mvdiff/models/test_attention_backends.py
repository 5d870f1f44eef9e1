"""Attention backends: the dispatch reaches every block, and what cannot be used is one clear sentence."""

from importlib.util import find_spec
from typing import get_args

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName

from mvdiff.backbones.embedded import EmbeddedSampler
from mvdiff.models import MultiViewTransformer
from mvdiff.models.attention_backends import AttentionBackend, set_attention_backend
from recon.core.errors import InputError

CPU = torch.device("cpu")


def network() -> MultiViewTransformer:
    return MultiViewTransformer(
        sample_size=32, patch_size=16, reference_size=32, reference_patch_size=16, width=32, depth=2, heads=2
    )


def backends(transformer: MultiViewTransformer) -> set:
    return {block.attention.processor._attention_backend for block in transformer.blocks}


def test_every_name_is_one_of_diffusers() -> None:
    assert set(get_args(AttentionBackend)) <= {each.value for each in AttentionBackendName}


def test_native_leaves_the_network_as_it_is() -> None:
    transformer = network()
    set_attention_backend(transformer, "native", CPU)
    assert backends(transformer) == {None}


def test_a_backend_reaches_every_block_and_attends_alike() -> None:
    transformer = network()
    attention = transformer.blocks[0].attention
    query = torch.randn(3, 2, 9, 2, 16).unbind(0)
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    native = dispatch_attention_fn(*query)
    try:
        set_attention_backend(transformer, "_native_math", CPU)
        assert backends(transformer) == {AttentionBackendName._NATIVE_MATH}
        found = dispatch_attention_fn(*query, backend=attention.processor._attention_backend)
    finally:
        transformer.reset_attention_backend()
    assert torch.allclose(found, native, atol=1e-5)


def test_it_is_set_for_one_model_and_no_other(monkeypatch) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    monkeypatch.setattr(_AttentionBackendRegistry, "_active_backend", AttentionBackendName.NATIVE)
    transformer, other = network(), network()
    set_attention_backend(transformer, "_native_math", CPU)
    assert _AttentionBackendRegistry.get_active_backend()[0] == AttentionBackendName.NATIVE
    assert backends(transformer) == {AttentionBackendName._NATIVE_MATH}
    assert backends(other) == {None}


@pytest.mark.parametrize("name", ["xformers", "flash", "sage"])
def test_what_is_missing_or_needs_a_gpu_is_said_in_one_sentence(name: str) -> None:
    module = {"xformers": "xformers", "flash": "flash_attn", "sage": "sageattention"}[name]
    told = "runs on CUDA devices only" if find_spec(module) else f"needs the package {module}: run `pip install"
    with pytest.raises(InputError, match=told):
        set_attention_backend(network(), name, CPU)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="'abacus' cannot be used"):
        set_attention_backend(network(), "abacus", CPU)


def test_the_embedded_sampler_refuses_before_it_samples() -> None:
    with pytest.raises(InputError, match="attention backend 'sage'"):
        EmbeddedSampler.from_pretrained("embedded", "cpu", attention_backend="sage")


@pytest.mark.cuda
def test_xformers_attends_as_torch_does() -> None:
    pytest.importorskip("xformers.ops", reason="needs xformers")
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    parts = torch.randn(3, 2, 300, 7, 64, device="cuda", dtype=torch.bfloat16).unbind(0)
    native, found = dispatch_attention_fn(*parts), dispatch_attention_fn(*parts, backend=AttentionBackendName.XFORMERS)
    assert (native - found).abs().max() < 2e-2
