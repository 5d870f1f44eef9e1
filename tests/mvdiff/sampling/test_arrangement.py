"""Relative pose and size of objects of one photo, from their true cameras."""

import math

import pytest
import torch
from three_objects import ELEVATION, FOV, ThreeObjects, three_objects

from mvdiff.sampling.arrangement import PhotographedObject, arrange
from mvdiff.sampling.photo_camera import PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from recon.io.images.matting import MatteReport


def _photographed(scene: ThreeObjects, index: int, elevation_error: float = 0.0) -> PhotographedObject:
    """What an errorless estimate of the photo's camera says about one object."""
    center, scale, camera = scene.centers[index], scene.scales[index], scene.camera
    pixel, depth = camera.project(center[None, None])
    way = camera.position[0] - center
    elevation = math.degrees(math.asin(float(way[1] / way.norm()))) + elevation_error
    radius = float(camera.intrinsics[0, 0, 0]) * 0.5 * scale / float(depth)
    left, top, side = 17.0 * index, 9.0, 120.0
    x, y = (pixel[0, 0] - torch.tensor([left, top])) / (side / 2) - 1
    values = (elevation, float(x), float(y), math.log(radius / (side / 2)), 1.5, 0.0)
    size = (camera.width, camera.height)
    reference = ReferenceImage(torch.zeros(4, 8, 8), (left, top, side), size, MatteReport("selected", 0.5))
    lowest = float(scene.meshes[index].vertices[:, 1].min() - center[1]) / scale
    return PhotographedObject(reference, PhotoCamera(*(torch.tensor([value]) for value in values)), lowest)


def test_true_cameras_give_the_true_scene() -> None:
    scene = three_objects()
    found = arrange([_photographed(scene, k) for k in range(3)], FOV)
    largest = max(scene.scales)
    torch.testing.assert_close(found.sizes, torch.tensor(scene.scales) / largest, atol=1e-4, rtol=0)
    centers = scene.centers / largest
    centers = centers - centers.mean(0) * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(found.matrices[:, :3, 3], centers, atol=1e-4, rtol=0)
    assert found.pitch == pytest.approx(ELEVATION, abs=1e-3)
    assert found.disagreement < 1e-3
    assert float((found.camera[:3, 3] - found.matrices[:, :3, 3].mean(0)).norm()) == pytest.approx(
        float((scene.camera.position[0] - scene.centers.mean(0)).norm()) / largest, abs=1e-3
    )


def test_the_photographed_side_faces_the_camera() -> None:
    scene = three_objects()
    found = arrange([_photographed(scene, k) for k in range(3)], FOV)
    for matrix in found.matrices:
        towards = found.camera[:3, 3] - matrix[:3, 3]
        front = matrix[:3, 2] / matrix[:3, 2].norm()
        across = torch.nn.functional.normalize(towards * torch.tensor([1.0, 0.0, 1.0]), dim=0)
        torch.testing.assert_close(front, across, atol=1e-5, rtol=0)


def test_objects_that_disagree_about_the_camera_say_so() -> None:
    scene = three_objects()
    found = arrange([_photographed(scene, k, error) for k, error in enumerate((-6.0, 0.0, 6.0))], FOV)
    assert 4 < found.disagreement < 6
    assert bool((found.sizes > 0).all())
