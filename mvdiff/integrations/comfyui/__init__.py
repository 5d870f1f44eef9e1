"""Nodes of ComfyUI. A folder of ``custom_nodes`` that imports these two names is all that ComfyUI needs.

:func:`mvdiff.integrations.comfyui.install.install` makes that folder.
"""

from mvdiff.integrations.comfyui.feedback_nodes import Feedback, NextView
from mvdiff.integrations.comfyui.mesh_nodes import Export, Pick
from mvdiff.integrations.comfyui.sampling_nodes import LoadModel, Sample
from mvdiff.integrations.comfyui.shape_nodes import InferPosterior, Reconstruct

#: Name of a node in workflow files, and its class.
NODE_CLASS_MAPPINGS = {
    "MvdiffLoadModel": LoadModel,
    "MvdiffSample": Sample,
    "MvdiffReconstruct": Reconstruct,
    "MvdiffPosterior": InferPosterior,
    "MvdiffFeedback": Feedback,
    "MvdiffNextView": NextView,
    "MvdiffPick": Pick,
    "MvdiffExport": Export,
}
#: Name of a node in workflow files, and the title that users see.
NODE_DISPLAY_NAME_MAPPINGS = {
    "MvdiffLoadModel": "Load model (mvdiff)",
    "MvdiffSample": "Sample hypotheses (mvdiff)",
    "MvdiffReconstruct": "Reconstruct (mvdiff)",
    "MvdiffPosterior": "Posterior (mvdiff)",
    "MvdiffFeedback": "Keep or reject (mvdiff)",
    "MvdiffNextView": "Next view (mvdiff)",
    "MvdiffPick": "Pick a mesh (mvdiff)",
    "MvdiffExport": "Export mesh (mvdiff)",
}
