"""Parts of the Zero123++ backbone (Shi et al. 2023), see :mod:`mvdiff.backbones.zero123plus`."""
