"""Meshes in and out: glTF, OBJ, PLY, USD."""
