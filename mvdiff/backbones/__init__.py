"""Backbones: one file for each source of views, behind the :class:`~mvdiff.sampling.sampler.ViewSampler` protocol."""
