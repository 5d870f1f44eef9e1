"""Sources of training objects: mesh files, packs, listings, posed photos."""
