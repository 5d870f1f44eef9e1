"""Nouns that every other package shares: cameras, views, meshes, grids, conventions, errors."""
