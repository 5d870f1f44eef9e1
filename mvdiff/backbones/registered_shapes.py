"""Native-3D generators as backbones: each shape is registered to the photo, painted from it and rendered by the rig."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mvdiff.backbones.painting import Painter, paint
from mvdiff.backbones.photo_estimator import estimated_camera
from mvdiff.backbones.shape_meshes import MAX_DRAWS, next_draw, shape_meshes
from mvdiff.backbones.shape_registry import load_shape_sampler
from mvdiff.helpers.dinov2 import Dinov2Encoder, features_record
from mvdiff.sampling.candidates import generators
from mvdiff.sampling.generation import Framing
from mvdiff.sampling.photo_camera import RADIUS, PhotoCamera
from mvdiff.sampling.reference import ReferenceImage
from mvdiff.sampling.rig import DEFAULT_RIG
from mvdiff.sampling.sampler import OnStep, PlacedShape, Sampled, SamplerInfo, SamplingRequest
from mvdiff.sampling.shape_sampler import ShapeRequest, ShapeSampler
from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.core.views import ViewSet
from recon.objects import ReconstructionConfig
from recon.ops.parallel import in_threads
from recon.registration import Registration, register_to_photo
from recon.registration.matching import Encoder
from recon.rendering import render_mesh


@dataclass(frozen=True)
class RegisteredShapes:
    """:class:`~mvdiff.sampling.sampler.ViewSampler` on a source of shapes.

    Views are renderings of the shapes; the hypotheses are the shapes themselves, in their full detail.
    """

    source: ShapeSampler
    info: SamplerInfo
    encoder: Encoder | None = None
    """Features that registration compares beside silhouettes and colors."""
    painter: Painter | None = None
    """Source of the colors that the photo does not show."""
    surface: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    """Settings of meshes and textures."""

    @staticmethod
    def of(source: ShapeSampler, encoder: Encoder | None = None, painter: Painter | None = None) -> "RegisteredShapes":
        """Wrap a loaded source of shapes."""
        own = source.info
        weights = {**own.weights, **features_record(encoder)}
        if painter is not None:
            weights["painter"] = painter.record
        info = SamplerInfo(
            name=own.name,
            license=own.license,
            weights=weights,
            gives="shapes",
            channels=frozenset({"rgb", "alpha", "normal", "depth"}),
            photo_camera="estimated",
            settings=frozenset({"num_inference_steps", "guidance_scale"}),
            defaults={
                "num_inference_steps": own.defaults.steps,
                "guidance_scale": own.defaults.guidance,
                "candidates": 1,
            },
        )
        return RegisteredShapes(source, info, encoder, painter)

    @staticmethod
    def from_pretrained(
        weights: str | Path = "embedded",
        device: str = "auto",
        dtype: torch.dtype | None = None,
        name: str = "triposg",
        features: str | Path | None = None,
        painter: Painter | None = None,
    ) -> "RegisteredShapes":
        """Load weights from this machine; nothing is fetched.

        Args:
            weights: folder of weights, or "embedded" for what ``mvdiff models pull`` stored.
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: precision of the large networks; half precision on a GPU by default.
            name: "triposg" or "trellis-coarse".
            features: folder of DINOv2, whose features registration then compares.
            painter: source of the colors that the photo does not show.

        Raises:
            InputError: weights are missing, damaged or of another model.
        """
        source = load_shape_sampler(name, weights=weights, device=device, dtype=dtype)
        encoder = None if features is None else Dinov2Encoder.from_folder(Path(features), source.device)
        return RegisteredShapes.of(source, encoder, painter)

    @property
    def device(self) -> torch.device:
        return self.source.device

    def meshed(self, config: ReconstructionConfig) -> "RegisteredShapes":
        """This sampler, with meshes and textures as ``config`` says."""
        return replace(self, surface=config)

    def prepare(self, photo: Any, matting: bool = True, framing: Framing = "recentre") -> ReferenceImage:
        """Cut the object out and frame it as the generator expects it."""
        return self.source.prepare(photo, matting=matting, framing=framing)

    def sample(self, request: SamplingRequest, on_step: OnStep | None = None) -> Sampled:
        """Draw one shape for each seed, in the photo's frame; views [n 7] are its renderings, the photo's side first.

        Raises:
            InputError: a condition is given, or every draw of a seed was empty.
        """
        if request.conditions.given or request.elevation is not None:
            raise InputError(
                f"The backbone {self.info.name} takes the photo alone: leave out what is known beside it, or use the "
                "embedded model."
            )
        bare = self._drawn(request, on_step)
        photo = _finest(request.reference).cpu()
        found = in_threads(lambda mesh: self._registered(mesh, photo), bare)
        # As the photo defines the frame, it is taken from azimuth 0.
        cameras = replace(PhotoCamera.cat([each.camera for each in found]), azimuth=torch.zeros(len(found)))
        placed = [mesh.transformed(each.matrix) for mesh, each in zip(bare, found, strict=True)]
        meshes = paint(placed, request.reference, cameras, request.seeds, self.painter, self.surface.texture)
        rig = DEFAULT_RIG.cameras(cameras.elevation)
        views = in_threads(lambda k: render_mesh(meshes[k], rig[k]), range(len(meshes)))
        shapes = tuple(PlacedShape(m, r.to_dict()) for m, r in zip(meshes, found, strict=True))
        return Sampled(ViewSet.cat(views).to(self.device), cameras.to(self.device), shapes)

    def draw_photo_cameras(
        self, reference: ReferenceImage, seeds: Sequence[int], elevation: float | None = None, azimuth: float = 0.0
    ) -> PhotoCamera:
        """Draw the camera [n] of a photo from the embedded model's estimator; no shape is registered to it."""
        drawn = estimated_camera(reference, elevation).sample(generators(seeds))
        return PhotoCamera.from_parameters(drawn, azimuth=azimuth)

    def _drawn(self, request: SamplingRequest, on_step: OnStep | None) -> list[TexturedMesh]:
        """Meshes of radius 0.5 in the generator's frame; an empty one is drawn again from its own stream."""
        settings = replace(
            self.source.info.defaults,
            steps=request.settings.num_inference_steps,
            guidance=request.settings.guidance_scale,
        )
        found: dict[int, TexturedMesh] = {}
        for attempt in range(MAX_DRAWS):
            missing = [k for k in range(len(request.seeds)) if k not in found]
            if not missing:
                break
            seeds = [next_draw(request.seeds[k], attempt) for k in missing]
            report = _of_whole_steps(on_step, -(-len(seeds) // self.source.chunk)) if attempt == 0 else None
            shapes = self.source.sample(ShapeRequest(request.reference, seeds, settings), report)
            drawn = zip(missing, shape_meshes(shapes, self.surface), strict=True)
            found |= {k: mesh.normalized(RADIUS) for k, mesh in drawn if len(mesh)}
        if len(found) < len(request.seeds):
            raise InputError(
                f"{self.info.name} gave an empty shape {MAX_DRAWS} times in a row: try another seed, or another photo."
            )
        return [found[k] for k in range(len(request.seeds))]

    def _registered(self, mesh: TexturedMesh, photo: Float[Tensor, "4 s s"]) -> Registration:
        return register_to_photo(mesh, photo, self.source.info.world, encoder=self.encoder)


def _of_whole_steps(on_step: OnStep | None, chunks: int) -> OnStep:
    """Steps of chunks that are sampled one after the other, reported as those of one."""

    def report(finished: int) -> None:
        if on_step is not None and finished % chunks == 0:
            on_step(finished // chunks)

    return report


def _finest(reference: ReferenceImage) -> Float[Tensor, "4 s s"]:
    return reference.rgba if reference.detail is None else reference.detail
