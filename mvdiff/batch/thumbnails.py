"""A small picture of one photo and its representative hypothesis."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvdiff.runs.result import GenerationResult

#: Pixels of a side, and the number of views beside the photo.
SIDE, VIEWS = 64, 3


def strip_of(result: "GenerationResult") -> bytes:
    """The photo as the model sees it and views of the representative hypothesis side by side, as WebP."""
    import torch
    from PIL import Image

    hypothesis = result.posterior.representative_index
    views = result.views[hypothesis]
    places = torch.linspace(0, views.num_views - 1, VIEWS).round().long().tolist()
    strip = Image.new("RGB", (SIDE * (VIEWS + 1), SIDE), "white")
    pictures = [result.reference.picture()]
    for place in places:
        rgba = torch.cat([views.rgb[0, place], views.alpha[0, place]]).clamp(0, 1)
        pictures.append(Image.fromarray((rgba * 255).round().byte().permute(1, 2, 0).numpy()))
    for place, picture in enumerate(pictures):
        small = picture.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BOX)
        strip.paste(small, (place * SIDE, 0), small)
    file = io.BytesIO()
    strip.save(file, "WEBP", quality=60, method=4)
    return file.getvalue()
