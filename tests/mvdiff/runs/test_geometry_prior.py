"""True geometry in place of an estimator's, fused with views of the embedded model."""

import pytest
from PIL import Image
from true_geometry import true_camera, true_geometry, visible_chamfer

from mvdiff import ImageTo3D
from mvdiff.data.procedural import make
from mvdiff.data.render.pictures import photo_like
from mvdiff.data.warp import SeededRandom
from mvdiff.sampling.generation import GenerationConfig
from recon.core.cameras import Cameras
from recon.fusion.photo_geometry import PhotoObservation
from recon.objects import ReconstructionConfig, extract_untextured, fitted_fields

ELEVATION = 20.0


@pytest.mark.slow
def test_geometry_of_the_photo_brings_the_visible_side_nearer_to_the_truth() -> None:
    truth = make(8, "chair").mesh
    rgba = photo_like(truth, Cameras.orbit([0.0], ELEVATION, size=256), SeededRandom(4), 2)
    photo = Image.fromarray((rgba.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    config = GenerationConfig(num_hypotheses=1, elevation=ELEVATION, framing="keep", candidates=1)
    model = ImageTo3D.from_pretrained("embedded", "cpu")
    reference = model.prepare(photo, config)
    views, cameras = model.sample(reference, config)
    camera = true_camera(reference.crop_parameters(), ELEVATION).cameras(views.cameras.width)
    seen = true_geometry(truth, camera, noise=0.01, metric=True)
    observation = PhotoObservation(seen, reference.rgba, cameras.cameras(views.cameras.width))
    settings = ReconstructionConfig()

    def error(observed: PhotoObservation | None) -> float:
        fields = fitted_fields(views, settings, observation=observed)
        return visible_chamfer(extract_untextured(fields, views, settings)[0].mesh, truth, camera)

    assert error(observation) < 0.85 * error(None)
