"""Reconstructors: networks that turn views into signed distances, beside the fusion of :mod:`recon`."""
