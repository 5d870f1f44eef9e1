"""Measures of quality: shapes, distributions, known posteriors, second photos, novelty, calibration."""
