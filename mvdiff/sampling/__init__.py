"""Sampling of views from a photo: the sampler protocol, its requests, settings and nouns."""
