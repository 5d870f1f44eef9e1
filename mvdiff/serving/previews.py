"""Pictures of views while they are denoised."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recon.io.folders import atomic_write

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from mvdiff.serving.worker import Desk


def preview_name(chunk: int) -> str:
    """Name of the picture of one chunk of hypotheses."""
    return f"preview-{chunk}.webp"


@dataclass
class PreviewSheet:
    """The latest expected views of each chunk of hypotheses: one row for each object, one file for each chunk."""

    folder: Path
    candidates: int
    """Candidates of each hypothesis, of which the first one is drawn."""
    desk: "Desk"
    _chunk: int = field(default=-1)

    def draw(self, step: int, views: "Float[Tensor, 'n v 4 h w']") -> None:
        """Write the picture of the expected ``views`` after a ``step``, and tell the server."""
        import numpy as np
        from PIL import Image

        self.desk.check()
        if step == 1:
            self._chunk += 1
        rows = views[:: self.candidates] if len(views) % self.candidates == 0 else views
        sheet = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
        picture = Image.fromarray(np.ascontiguousarray((sheet * 255).round().byte().numpy()))
        with atomic_write(self.folder / preview_name(self._chunk)) as temporary:
            picture.save(temporary, quality=80)
        self.desk.tell("preview", chunk=self._chunk)
