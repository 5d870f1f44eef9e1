"""Measures of cost: the whole job, reconstruction, rendering, training."""
