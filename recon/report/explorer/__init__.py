"""The explorer: hypotheses of one scene to walk through, as one HTML file that needs no network."""

from recon.report.explorer.view import Collider, SceneView
from recon.report.explorer.write import render_explorer, write_explorer

__all__ = ["Collider", "SceneView", "render_explorer", "write_explorer"]
