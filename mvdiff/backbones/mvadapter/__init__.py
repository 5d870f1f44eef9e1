"""Parts of the MV-Adapter backbone (Huang et al. 2024), see :mod:`mvdiff.backbones.mv_adapter`."""
