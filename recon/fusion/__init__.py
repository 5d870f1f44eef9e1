"""From posed views of one object to a signed distance field: TSDF fusion, photo-consistency, gradient refinement."""
