"""One object with what the main job made of its picture, and all its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image

from mvdiff.backbones.novelty import judge
from mvdiff.evaluation.jobs.objects import View
from mvdiff.evaluation.jobs.records import finite
from mvdiff.evaluation.protocols.distribution import distribution_scores
from mvdiff.evaluation.protocols.shape import Frame, Subject, seen_in_photo, shape_scores
from mvdiff.sampling.photo_camera import PhotoCamera
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.fusion.tsdf import FusedFields
from recon.metrics.image import mask_iou, psnr
from recon.metrics.shape import SurfaceComparison
from recon.objects import ReconstructionConfig, extract_untextured
from recon.posterior import Hypothesis, Posterior, PosteriorConfig
from recon.posterior.calibration import Calibration
from recon.rendering import render_mesh


@dataclass(frozen=True)
class Case:
    name: str
    view: View
    truth: TexturedMesh
    """Radius 0.5, in its own axes, on the CPU."""
    reference: Image.Image
    hypotheses: Sequence[Hypothesis]
    """In the photo's frame, on the CPU, with their views."""
    rig_views: slice
    """Indices of the rig's views; the photo's own view does not test the hidden side."""
    seconds: dict[str, float]
    novelty: Mapping[str, float] = field(default_factory=dict)
    """The model's errors on the picture, see :mod:`mvdiff.backbones.novelty`."""
    fields: FusedFields | None = None
    """Fitted but not yet meshed, where the hypotheses are still to be made, see :meth:`meshed`."""
    sampled_views: ViewSet | None = None
    """Those of ``fields``, [n v]."""
    photo_cameras: PhotoCamera | None = None
    """Photo camera that each hypothesis drew, [n]."""
    baselines: Mapping[str, TexturedMesh] = field(default_factory=dict)
    """Objects without a posterior, in the photo's frame, see :mod:`mvdiff.evaluation.protocols.baselines`."""

    def meshed(self, config: ReconstructionConfig) -> "Case":
        """With hypotheses of geometry only, made from ``fields``; those of a source of shapes are there already."""
        if self.fields is None or self.sampled_views is None:
            return self
        made = extract_untextured(self.fields, self.sampled_views, config)
        hypotheses = [Hypothesis(m.mesh, m.sdf, m.extent, seed=k, residual=m.residual) for k, m in enumerate(made)]
        return replace(self, hypotheses=hypotheses, fields=None, sampled_views=None)

    @property
    def frame(self) -> Frame:
        return Frame.of(self.truth, self.view)

    @property
    def sampled(self) -> ViewSet:
        """The rig's views of all hypotheses [n v]."""
        return ViewSet.cat([h.views for h in self.hypotheses]).select_views(self.rig_views)

    def true_views(self) -> ViewSet:
        """The truth as the rig's cameras see it [1 v], in the photo's frame."""
        turned = self.truth.transformed(torch.linalg.inv(self.frame.from_photo))
        return render_mesh(turned, self.sampled.cameras[0])


def score(
    case: Case,
    protocol: str,
    posterior: PosteriorConfig | None = None,
    align: bool = True,
    calibration: Calibration | None = None,
) -> dict[str, Any]:
    """The object's entry in results.json, JSON-ready."""
    frame = case.frame
    truth = Subject(case.truth, frame)
    seen = seen_in_photo(truth, case.view)
    predictions = [Subject(h.mesh.transformed(frame.from_photo), frame) for h in case.hypotheses]
    shapes = [shape_scores(prediction, truth, seen, align) for prediction in predictions]
    sampled, true_views = case.sampled, case.true_views()
    empty = sum(len(h.mesh) == 0 for h in case.hypotheses)
    entry = {
        "name": case.name,
        "azimuth": case.view.azimuth,
        "elevation": case.view.elevation,
        "seed": case.view.seed,
        **{key: [scores[key] for scores in shapes] for key in shapes[0]},
        "mask_iou": mask_iou(sampled.alpha, true_views.alpha).mean(1).tolist(),
        "view_psnr": psnr(sampled.composited(1.0), true_views.composited(1.0)).mean(1).tolist(),
        "drawn_elevation": [h.elevation for h in case.hypotheses],
        "residual": [h.residual for h in case.hypotheses],
        "empty": empty,
        "seconds": case.seconds,
        "distribution": None,
    }
    if protocol == "p2" and len(case.hypotheses) - empty > 1:
        kept = [k for k, h in enumerate(case.hypotheses) if len(h.mesh)]
        hypotheses = [case.hypotheses[k] for k in kept]
        entry["distribution"] = distribution_scores(
            hypotheses,
            Posterior.from_hypotheses([replace(h, views=None) for h in hypotheses], posterior, calibration),
            [predictions[k] for k in kept],
            truth,
            [shapes[k]["cd"] for k in kept],
        )
        entry["baselines"] = {name: chamfer(mesh, truth) for name, mesh in case.baselines.items()}
        entry["novelty_p"] = judge(case.novelty, calibration.scores if calibration else {}).p_value
    return finite(entry)


def chamfer(mesh: TexturedMesh, truth: Subject) -> float:
    """P1's Chamfer distance of a mesh in the photo's frame."""
    prediction = Subject(mesh.transformed(truth.frame.from_photo), truth.frame)
    return SurfaceComparison.between(prediction.surface, truth.surface).chamfer
