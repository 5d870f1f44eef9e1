"""The objective: flow matching on x-predictions with a noise level per view, and the photo camera's likelihood."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mvdiff.models.cameras import camera_tensors
from mvdiff.models.encoding import encode_reference
from mvdiff.models.flow import MIN_SIGMA
from mvdiff.training import consistency

#: Number of parts into which a batch is cut for the teacher.
_PARTS = 4


@dataclass
class LossConfig:
    """Weights and distributions of the training objective."""

    shift: float = 6.0
    """Moves noise levels towards noise: sigma' = shift * sigma / (1 + (shift - 1) * sigma). What a photo does not show
    is decided above .9, so two examples in five lie there."""
    logit_std: float = 1.4
    """Spread of the logit-normal noise level."""
    clean_views_probability: float = 0.15
    """Share of objects of which a random subset of views is given clean."""
    drop_reference_probability: float = 0.1
    """Share of objects trained without their photo, for classifier-free guidance."""
    alpha_weight: float = 2.0
    geometry_weight: float = 1.0
    flow_weight: float = 1.0
    """Weight of flow matching on the views; 0 trains the camera estimator alone and freezes the transformer."""
    camera_weight: float = 0.1
    """Weight of the photo camera's negative log-likelihood; 0 freezes the camera estimator."""
    camera_patches: float = 1.0
    """Share of a photo's patches, drawn anew each time, that the camera estimator is shown while it trains: it should
    tell the camera from the object's shape, not recognize the object by a detail (PatchDropout, Liu et al. 2022)."""
    depth_normal_weight: float = 0.0
    """Weight of the angle between predicted normals and normals of the predicted depth."""
    reprojection_weight: float = 0.0
    """Weight of the disagreement between predicted depths of neighboring views."""
    perceptual_weight: float = 0.0
    """Weight of LPIPS between predicted and true colors; needs the extra lpips and its weights."""


def training_loss(
    transformer: nn.Module,
    camera_estimator: nn.Module,
    batch,
    generator: torch.Generator,
    config: LossConfig,
    teacher: nn.Module | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """Loss and its detached parts for a ``TrainingBatch``; all randomness comes from ``generator``.

    With a ``teacher`` the true views are moved as the guidance that ``transformer`` is to learn moves predictions of
    them. What is learnt is then the mean of the true views and the guidance in one pass.
    """
    parts: dict[str, Float[Tensor, ""]] = {}
    loss = torch.zeros((), device=batch.references.device)
    if config.flow_weight:
        noisy = NoisyViews.of(batch, generator, config)
        prediction = noisy.denoised(transformer, batch, noisy.drop)
        targets = batch.targets
        if teacher is not None:
            targets = targets + noisy.guidance(transformer, teacher, batch)
        parts["flow"] = flow_loss(prediction, targets, noisy.sigma, config, batch.known)
        loss = loss + config.flow_weight * parts["flow"]
        for name, weight, value in _optional(prediction, batch, noisy.sigma, config):
            parts[name] = value
            loss = loss + weight * value
    if config.camera_weight:
        photos = encode_reference(batch.camera_photos).flatten(0, 1)
        shown = None
        if camera_estimator.training and config.camera_patches < 1:
            shown = _shown_patches(photos, camera_estimator, generator, config.camera_patches)
        likelihood = camera_estimator(photos, shown).log_prob(batch.photo_camera.flatten(0, 1))
        parts["camera_nll"] = -likelihood.clamp_max(30).mean()
        loss = loss + config.camera_weight * parts["camera_nll"]
    return loss, {name: value.detach() for name, value in ({"loss": loss} | parts).items()}


def _shown_patches(
    photos: Float[Tensor, "b 4 s s"], camera_estimator: nn.Module, generator: torch.Generator, share: float
) -> Int[Tensor, "b k"]:
    count = (photos.shape[-1] // camera_estimator.config.patch_size) ** 2
    order = torch.rand(len(photos), count, generator=generator, device=photos.device).argsort(1)
    return order[:, : max(1, round(share * count))]


@dataclass(frozen=True)
class NoisyViews:
    """Noised views of a batch, as the network is given them."""

    sigma: Float[Tensor, "b v"]
    views: Float[Tensor, "b v 8 h w"]
    drop: Bool[Tensor, "b"]
    """Mask of the rows whose photo is dropped."""

    @staticmethod
    def of(batch, generator: torch.Generator, config: LossConfig) -> "NoisyViews":
        clean = batch.targets
        sigma = noise_levels(clean.shape[:2], config, generator, clean.device)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        noisy = torch.lerp(clean, noise, sigma[:, :, None, None, None])
        drop = torch.rand(len(clean), generator=generator, device=clean.device) < config.drop_reference_probability
        return NoisyViews(sigma, noisy, drop)

    def denoised(
        self,
        transformer: nn.Module,
        batch,
        drop: Bool[Tensor, "n"],
        rows: Int[Tensor, "n"] | slice = slice(None),
    ) -> Float[Tensor, "n v 8 h w"]:
        """The views of these ``rows`` that ``transformer`` sees behind the noise."""
        prediction = transformer(
            self.views[rows],
            self.sigma[rows] * 1000,
            encode_reference(batch.references[rows]),
            *camera_tensors(batch.target_cameras[rows]),
            *camera_tensors(batch.reference_cameras[rows]),
            drop,
            return_dict=False,
        )[0]
        return prediction.float()

    @torch.no_grad()
    def guidance(self, student: nn.Module, teacher: nn.Module, batch) -> Float[Tensor, "b v 8 h w"]:
        """Guidance term at the scale that ``student`` claims, computed from ``teacher``'s predictions.

        Nothing where the photo is hidden.
        """
        level = self.sigma.amax(1)
        scale, taught = (
            torch.where(level <= model.config.guidance_below, model.config.learnt_guidance, 1.0)
            for model in (student, teacher)
        )
        # The difference of a distilled teacher's passes is already scaled by its guidance.
        factor = torch.where(self.drop, 0.0, (scale - 1) / taught)
        added = torch.zeros_like(self.views)
        # The teacher works for those alone to whom it adds something, in parts of one size, as it is compiled for one.
        size, in_turn = -(-len(factor) // _PARTS), (factor == 0).byte().argsort(stable=True)
        for rows in in_turn.split(size)[: -(-int(factor.count_nonzero()) // size)]:
            drop = torch.cat([self.drop[rows], torch.ones_like(self.drop[rows])])
            shown, hidden = self.denoised(teacher, batch, drop, rows.repeat(2)).chunk(2)
            added[rows] = factor[rows, None, None, None, None] * (shown - hidden)
        return added


def _optional(
    prediction: Float[Tensor, "b v 8 h w"], batch, sigma: Float[Tensor, "b v"], config: LossConfig
) -> Iterator[tuple[str, float, Float[Tensor, ""]]]:
    """Name, weight and value of the losses that are on."""
    geometry = consistency.certainty(sigma, batch.known[:, 4:].all(1))
    views = (prediction, batch.targets)
    if config.depth_normal_weight:
        value = consistency.depth_normal_loss(*views, batch.target_cameras, geometry)
        yield "depth_normal", config.depth_normal_weight, value
    if config.reprojection_weight:
        value = consistency.reprojection_loss(*views, batch.target_cameras, geometry)
        yield "reprojection", config.reprojection_weight, value
    if config.perceptual_weight:
        value = consistency.perceptual_loss(*views, consistency.certainty(sigma, batch.known[:, :4].all(1)))
        yield "perceptual", config.perceptual_weight, value


def noise_levels(
    shape: tuple[int, int] | torch.Size, config: LossConfig, generator: torch.Generator, device: torch.device
) -> Float[Tensor, "b v"]:
    """One shifted logit-normal level an object; for some objects a strict subset of views at level 0 (clean)."""
    b, v = shape
    sigma = torch.sigmoid(torch.randn(b, 1, generator=generator, device=device) * config.logit_std)
    sigma = config.shift * sigma / (1 + (config.shift - 1) * sigma)
    chosen = torch.rand(b, 1, generator=generator, device=device) < config.clean_views_probability
    share = torch.rand(b, 1, generator=generator, device=device)
    score = torch.rand(b, v, generator=generator, device=device)
    # The view of highest score always stays noisy, so that there is something to learn.
    clean = chosen & (score < share) & (score < score.amax(1, keepdim=True))
    return torch.where(clean, 0.0, sigma.expand(b, v))


def flow_loss(
    prediction: Float[Tensor, "b v 8 h w"],
    clean: Float[Tensor, "b v 8 h w"],
    sigma: Float[Tensor, "b v"],
    config: LossConfig,
    known: Bool[Tensor, "b 8"] | None = None,
) -> Float[Tensor, ""]:
    """Squared error of the velocity (noise - x): that of x over sigma squared, over the noisy views only.

    Channels that are not ``known`` count nothing, and no other channel more for it.
    """
    error = nn.functional.mse_loss(prediction, clean, reduction="none").mean((-1, -2))  # [b v c]
    if known is not None:
        error = error * known[:, None]
    color, alpha, geometry = (part.sum(-1) for part in error.split([3, 1, 4], -1))
    error = (color + config.alpha_weight * alpha + config.geometry_weight * geometry) / error.shape[-1]
    noisy = (sigma > 0).float()
    per_view = error / sigma.clamp_min(MIN_SIGMA).square() * noisy
    return per_view.sum() / noisy.sum().clamp_min(1)
