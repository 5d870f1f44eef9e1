"""Posed views in and out: COLMAP, transforms.json, turntables, view files."""
