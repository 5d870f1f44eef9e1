"""Threads: order, errors and settings survive them, and they change no number."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from recon import Cameras, TexturedMesh, ViewSet
from recon.objects import ReconstructionConfig, reconstruct
from recon.ops.parallel import in_threads, meanwhile
from recon.rendering import render_mesh


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_keep_their_order_and_settings_their_values(two_threads) -> None:
    def slowest_first(k: int) -> tuple[int, int, bool]:
        time.sleep(0.02 * (2 - k))
        return k, torch.get_num_threads(), torch.is_grad_enabled()

    with torch.no_grad():
        assert in_threads(slowest_first, range(3)) == [(k, 1, False) for k in range(3)]
    assert torch.get_num_threads() == 2


def test_a_caller_with_one_thread_gets_no_more() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert in_threads(lambda _: threading.get_ident(), range(3)) == [threading.get_ident()] * 3
    torch.set_num_threads(before)


def test_work_goes_on_side_by_side(two_threads) -> None:
    both = threading.Barrier(2, timeout=10)  # breaks unless two are inside at once
    assert sorted(in_threads(lambda _: both.wait(), range(2))) == [0, 1]


def test_the_block_and_the_work_beside_it_go_on_together(two_threads) -> None:
    both = threading.Barrier(2, timeout=10)
    with meanwhile(lambda _: both.wait(), range(1)):
        both.wait()
    assert torch.get_num_threads() == 2


def test_what_the_work_beside_a_block_raises_arrives(two_threads) -> None:
    for threads in (2, 1):
        torch.set_num_threads(threads)
        with pytest.raises(ZeroDivisionError), meanwhile(lambda k: 1 // k, range(3)):
            pass


def test_an_error_arrives_and_the_setting_returns(two_threads) -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda k: 1 // k, range(3))
    assert torch.get_num_threads() == 2


def test_an_interruption_ends_the_work_with_what_is_begun(two_threads) -> None:
    begun = []

    def work(k: int) -> None:
        begun.append(k)
        time.sleep(0.02)

    def interrupted(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_threads(work, range(50), interrupted)
    kept = len(begun)
    assert kept < 10
    time.sleep(0.1)
    assert len(begun) == kept


def test_hypotheses_are_the_same_in_threads() -> None:
    import trimesh

    cameras = Cameras.orbit(torch.arange(4) * 90.0, torch.tensor([20.0, -10, 20, -10]), size=48)
    solids = trimesh.creation.box((0.6, 0.4, 0.3)), trimesh.creation.icosphere(3, 0.4), trimesh.creation.cone(0.3, 0.5)
    views = ViewSet.cat([render_mesh(TexturedMesh.from_arrays(s.vertices, s.faces), cameras) for s in solids])
    config = ReconstructionConfig.preset("fast")
    before, made, heard = torch.get_num_threads(), [], []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        made.append(reconstruct(views, config, progress=lambda done, of: heard.append((done, of))))
    torch.set_num_threads(before)
    assert heard == [(1, 3), (2, 3), (3, 3)] * 2
    for alone, beside in zip(*made, strict=True):
        assert torch.equal(alone.mesh.faces, beside.mesh.faces)
        torch.testing.assert_close(alone.mesh.vertices, beside.mesh.vertices, atol=1e-6, rtol=0)
        torch.testing.assert_close(alone.mesh.texture, beside.mesh.texture, atol=2e-3, rtol=0)
        torch.testing.assert_close(alone.residuals, beside.residuals)
