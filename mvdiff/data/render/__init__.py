"""Rendering of training records: cameras, light, worker processes."""
