"""The benchmark: known objects in, scores of the hypotheses that the main job makes of their pictures out."""
