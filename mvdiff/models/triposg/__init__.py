"""TripoSG (Li et al. 2025): a rectified-flow transformer over vector sets (Zhang et al. 2023) and their decoder."""
