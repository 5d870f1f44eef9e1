"""Names of the reconstructors. Free of torch, so that the command line's help stays fast."""

from typing import Literal

#: "fusion" is the method of :func:`recon.reconstruct` itself, which needs no weights.
ReconstructorName = Literal["fusion", "lrm"]
