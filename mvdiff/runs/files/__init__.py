"""File layout of a run folder: the photo, the samples, the results."""
