"""Segment Anything 2 (Ravi et al. 2024) by ``transformers.Sam2Model``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mvdiff.helpers.loading import load_helper
from mvdiff.helpers.pictures import Preprocessor
from recon.core.errors import InputError
from recon.io.images.segment import Segmentation, unmix
from recon.io.images.selection import Selection

#: Below this predicted intersection over union nothing was found.
_LEAST_QUALITY = 0.2


@dataclass(frozen=True)
class Sam2Segmenter:
    """A click or a box to the mask of one object."""

    model: Any
    preprocessor: Preprocessor

    @staticmethod
    def from_folder(folder: Path, device: str | torch.device = "cpu") -> "Sam2Segmenter":
        """Load a folder as ``Sam2Model.save_pretrained`` writes it. Raises :class:`InputError` for any other."""
        model = load_helper("Sam2Model", folder, device)
        side = int(model.prompt_encoder.input_image_size)
        preprocessor = Preprocessor.read(folder, side)
        if (preprocessor.height, preprocessor.width) != (side, side):
            raise InputError(
                f"'{folder}' has pictures of {preprocessor.width} pixels for a network of {side}: pull these weights "
                "again."
            )
        return Sam2Segmenter(model, preprocessor)

    def __call__(
        self, rgb: UInt8[np.ndarray, "h w 3"], selection: Selection, others: Sequence[Selection] = ()
    ) -> Segmentation:
        """Mask of the object at ``selection``; the centers of ``others`` are told to be no part of it.

        Raises :class:`InputError` where nothing is found.
        """
        selection.check(rgb.shape[1], rgb.shape[0])
        logits, quality = self.logits(rgb, selection, others)
        inside = (logits > 0).cpu().numpy()
        if quality < _LEAST_QUALITY or not inside.any():
            raise InputError(f"{selection} shows nothing that the segmenter knows: give a box around the object.")
        return Segmentation(unmix(rgb, inside), quality, quality)

    @torch.no_grad()
    def logits(
        self, rgb: UInt8[np.ndarray, "h w 3"], selection: Selection, others: Sequence[Selection] = ()
    ) -> tuple[Float[Tensor, "h w"], float]:
        """Log odds of the best of three masks, and its predicted intersection over union in [0, 1]."""
        height, width = rgb.shape[:2]
        device = next(self.model.parameters()).device
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float().to(device) / 255
        prompts = {name: value.to(device) for name, value in self._prompts(selection, others, width, height).items()}
        output = self.model(pixel_values=self.preprocessor(pixels), multimask_output=True, **prompts)
        quality = output.iou_scores[0, 0].float()
        best = output.pred_masks[0, 0, int(quality.argmax())].float()
        return _enlarged(best, height, width), float(quality.max().clamp(0, 1))

    def _prompts(self, selection: Selection, others: Sequence[Selection], width: int, height: int) -> dict[str, Tensor]:
        """Points, labels and boxes in the pixels of the network, whose picture is stretched to a square."""
        scale = torch.tensor([self.preprocessor.width / width, self.preprocessor.height / height])
        places = [other.center for other in others]
        labels = [0] * len(others)
        if selection.point is not None:
            places, labels = [selection.point, *places], [1, *labels]
        prompts: dict[str, Tensor] = {}
        if places:  # the network adds half a pixel itself
            prompts["input_points"] = (torch.tensor(places) * scale - 0.5)[None, None]
            prompts["input_labels"] = torch.tensor(labels)[None, None]
        if selection.box is not None:
            prompts["input_boxes"] = (torch.tensor(selection.box) * scale.repeat(2) - 0.5)[None, None]
        return prompts


def _enlarged(logits: Float[Tensor, "m n"], height: int, width: int) -> Float[Tensor, "{height} {width}"]:
    return torch.nn.functional.interpolate(logits[None, None], (height, width), mode="bilinear", align_corners=False)[
        0, 0
    ]
