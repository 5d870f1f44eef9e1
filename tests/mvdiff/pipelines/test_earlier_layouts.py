"""Folders that earlier versions wrote: the modules of the networks are part of the checkpoint format."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.sampling.reference import prepare
from mvdiff.sampling.rig import RigConfig

FOLDER = Path(__file__).parents[2] / "data" / "pipeline_of_before_the_moves"


def test_a_pipeline_saved_before_the_modules_moved_samples_the_same_views() -> None:
    pipeline = MultiViewDiffusionPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:56, 20:40] = (200, 80, 30, 255)
    rig = RigConfig(size=32, azimuths=(90.0,), elevations=(20.0,))
    generator = [torch.Generator().manual_seed(1)]
    views = pipeline(
        prepare(rgba, size=32), num_hypotheses=1, num_inference_steps=2, rig=rig, generator=generator
    ).views
    expected = load_file(FOLDER / "expected.safetensors")
    torch.testing.assert_close(views.rgb, expected["rgb"].float(), atol=2e-3, rtol=0)
    torch.testing.assert_close(views.depth, expected["depth"].float(), atol=2e-3, rtol=0)
