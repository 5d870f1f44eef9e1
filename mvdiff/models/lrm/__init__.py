"""Large reconstruction model of posed views (Hong et al. 2024; InstantMesh, Xu et al. 2024): views to a triplane."""
