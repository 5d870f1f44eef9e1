"""First stage of TRELLIS (Xiang et al. 2025): a flow over 16^3 latents and a decoder to occupancy of 64^3 voxels."""
