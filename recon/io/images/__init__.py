"""Photos in: hardened loading, matting, segmentation."""
