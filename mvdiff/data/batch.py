"""Training batches: views of objects in the frame of one of their photos."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mvdiff.data.augment import AugmentConfig, augment_references
from mvdiff.data.render.record import reference_cameras, target_cameras
from mvdiff.data.stores.store import ViewStore
from recon.core.cameras import Cameras


@dataclass
class BatchConfig:
    """Settings for drawing views and photos."""

    random_rig_probability: float = 0.2
    """Share of objects with six arbitrary ring views instead of an even rig."""
    second_reference_probability: float = 0.1
    """Share of batches with two photos of each object."""
    camera_photos: int = 1
    """Photos of each object from which the camera is estimated; they cost little beside the views."""
    mirror_probability: float = 0.5
    recolor_probability: float = 0.0
    """Share of objects whose red, green and blue trade places, in photos and views alike: light and shade stay true."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class TrainingBatch:
    """In the frame in which the first reference stands at azimuth 0."""

    targets: Float[Tensor, "b v 8 h w"]
    """Encoded as ``mvdiff.models.encoding`` says; the first view looks from the first reference's direction. None
    where the store holds references alone."""
    target_cameras: Cameras
    known: Bool[Tensor, "b 8"]
    """Channels of the targets that count; the others are 0."""
    references: Float[Tensor, "b m 4 h w"]
    """Straight alpha in [0, 1]."""
    reference_cameras: Cameras
    camera_photos: Float[Tensor, "b e 4 h w"]
    """Photos to tell the camera from; the first references are among them."""
    photo_camera: Float[Tensor, "b e 4"]
    """photo_camera.PARAMETERS of each."""
    index: Int[Tensor, "b"]


def sample_batch(
    store: ViewStore,
    batch_size: int,
    generator: torch.Generator,
    config: BatchConfig,
    probabilities: Float[Tensor, "o"] | None = None,
) -> TrainingBatch:
    """All randomness comes from ``generator``, which lives on the store's device."""
    device, ring = store.device, store.config.ring_views

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    if probabilities is None:
        index = torch.randint(len(store), (batch_size,), generator=generator, device=device)
    else:
        index = torch.multinomial(probabilities, batch_size, replacement=True, generator=generator)
    # One draw for the batch, known without asking the device: the number of photos is a shape.
    two_photos = float(torch.rand((), generator=_host_twin(generator))) < config.second_reference_probability
    shown = 2 if two_photos else 1
    photos = rand(batch_size, store.config.references).argsort(1)[:, : max(shown, config.camera_photos)]
    views = photos[:, :0]
    if ring:
        step = ring // 6
        even = (rand(batch_size, 1) * step).long() + step * torch.arange(6, device=device)
        arbitrary = rand(batch_size, ring).argsort(1)[:, :6]
        views = torch.where(rand(batch_size, 1) < config.random_rig_probability, arbitrary, even)
        views = torch.cat([ring + photos[:, :1], views], 1)
    mirror = rand(batch_size) < config.mirror_probability

    parameters = store.reference_parameters[index[:, None], photos]  # [b m 6]
    angles = store.target_angles[index[:, None], views]  # [b v 2]
    turn = parameters[:, :1, 0]
    sign = torch.where(mirror, -1.0, 1.0)[:, None]
    azimuth, elevation = (angles[..., 0] - turn) * sign, angles[..., 1]
    parameters = parameters.clone()
    parameters[..., 0] = (parameters[..., 0] - turn) * sign
    parameters[..., 2] *= sign  # centre_x
    size = store.config.size

    # Mirrored and recoloured while still 8 bits a number: a quarter of the memory traffic.
    known, channels = store.known[index], torch.arange(8, device=device).expand(batch_size, 8)
    recolor = rand(batch_size, 1) < config.recolor_probability
    channels = torch.cat([torch.where(recolor, rand(batch_size, 3).argsort(1), channels[:, :3]), channels[:, 3:]], 1)
    targets = store.targets[index[:, None, None], views[:, :, None], channels[:, None]]
    targets = _decode(_flip(targets, mirror), known)
    _turn_normals(targets[:, :, 4:7], torch.deg2rad(turn[:, 0]), sign[:, 0])
    references = store.references[index[:, None, None], photos[:, :, None], channels[:, None, :4]]
    references = _flip(references, mirror) / 255
    references = augment_references(references.flatten(0, 1), generator, config.augment).unflatten(0, photos.shape)
    return TrainingBatch(
        targets=targets,
        target_cameras=target_cameras(
            torch.stack([azimuth, elevation], -1), store.target_distances[index[:, None], views], size
        ),
        known=known,
        references=references[:, :shown],
        reference_cameras=reference_cameras(parameters[:, :shown]).cameras(size),
        camera_photos=references[:, : config.camera_photos],
        photo_camera=parameters[:, : config.camera_photos, 1:5],
        index=index,
    )


def _host_twin(generator: torch.Generator) -> torch.Generator:
    """A CPU generator that is a function of the device generator's seed."""
    return torch.Generator().manual_seed(generator.initial_seed())


def _decode(pictures: Tensor, known: Bool[Tensor, "b 8"]) -> Float[Tensor, "b v 8 h w"]:
    """8-bit records to [-1, 1]; all but alpha is 0 where the object is not, and what is not known everywhere."""
    values = (pictures / 127.5).sub_(1)
    inside = pictures[:, :, 3:4] > 0
    # Not by *=, which copies each slice onto itself once more.
    values[:, :, :3].mul_(inside)
    values[:, :, 4:].mul_(inside & known[:, None, 4:, None, None])
    return values


def _flip(pictures: UInt8[Tensor, "b v c h w"], mirror: Bool[Tensor, "b"]) -> UInt8[Tensor, "b v c h w"]:
    return torch.where(mirror[:, None, None, None, None], pictures.flip(-1), pictures)


def _turn_normals(normals: Float[Tensor, "b v 3 h w"], turn: Float[Tensor, "b"], sign: Float[Tensor, "b"]) -> None:
    """In place: turn the world so that azimuth ``turn`` comes to 0, then mirror x where ``sign`` is -1."""
    c, s, sign = (value[:, None, None, None] for value in (turn.cos(), turn.sin(), sign))
    x, z = normals[:, :, 0], normals[:, :, 2]
    turned = (x * (c * sign)).addcmul_(z, s * sign, value=-1)
    z.mul_(c).addcmul_(x, s)
    x.copy_(turned)
