"""The training objective: both networks and their loss as one module."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mvdiff.data.batch import TrainingBatch
from mvdiff.models import MultiViewTransformer, PhotoCameraEstimator
from mvdiff.pipelines import MultiViewDiffusionPipeline
from mvdiff.training.config import TrainConfig
from mvdiff.training.lora import LoraConfig, add_lora
from mvdiff.training.losses import LossConfig, training_loss
from mvdiff.training.sharding import whole
from recon.core.errors import InputError


class Objective(nn.Module):
    """Both networks and their loss as one module, so that one wrapper synchronises all gradients.

    A network whose loss weighs nothing stays as it is. With a LoRA of rank 1 or more the adapters alone are trained.
    """

    def __init__(
        self,
        transformer: MultiViewTransformer,
        camera_estimator: PhotoCameraEstimator,
        config: LossConfig,
        lora: LoraConfig | None = None,
        teacher: MultiViewTransformer | None = None,
    ) -> None:
        """``teacher``: see :func:`training_loss`; it is not trained, averaged or saved."""
        super().__init__()
        # Out of the reach of whatever lists this module's parts.
        self._teachers = [] if teacher is None else [teacher.eval().requires_grad_(False)]
        self._teacher_changed = False
        self.transformer, self.camera_estimator, self.config = transformer, camera_estimator, config
        self.lora = lora or LoraConfig()
        if not 0 < config.camera_patches <= 1:
            raise InputError(f"loss.camera_patches is a share above 0 and at most 1, not {config.camera_patches}.")
        for network, weight, targets in (
            (transformer, config.flow_weight, self.lora.targets),
            (camera_estimator, config.camera_weight, self.lora.camera_targets),
        ):
            network.requires_grad_(weight > 0 and not self.adapts)
            if weight > 0 and self.adapts and targets:
                add_lora(network, self.lora, targets)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise InputError(
                "There is nothing to train: loss.flow_weight and loss.camera_weight are 0, or a LoRA has no targets "
                "where they are not."
            )

    @property
    def teacher(self) -> MultiViewTransformer | None:
        return next(iter(self._teachers), None)

    @torch.no_grad()
    def take_over_teacher(self, weights: Mapping[str, Tensor]) -> None:
        """The teacher becomes a network of these weights of the transformer, which does what this one is to learn."""
        learnt = self.transformer.config
        self.teacher.claim_guidance(learnt.learnt_guidance, learnt.guidance_below)
        for name, value in self.teacher.named_parameters():
            value.copy_(whole(weights[name]))
        self._teacher_changed = True

    def changed_teacher(self) -> dict[str, Tensor] | None:
        """Weights of a teacher that is not the one that the config names any more."""
        return dict(self.teacher.named_parameters()) if self._teacher_changed else None

    @property
    def adapts(self) -> bool:
        return self.lora.rank > 0

    @property
    def blocks(self) -> list[nn.Module]:
        return [*self.transformer.blocks, *self.camera_estimator.blocks]

    def compile_blocks(self) -> None:
        """Block by block, as one compilation serves all of a kind; what FSDP does before and after them stays out."""
        for block in [*self.blocks, *(block for teacher in self._teachers for block in teacher.blocks)]:
            block.forward = torch.compile(block.forward, dynamic=False)

    def forward(self, batch: TrainingBatch, generator):
        networks = self.transformer, self.camera_estimator
        return training_loss(*networks, batch, generator, self.config, self.teacher)

    def _apply(self, *arguments, **options):
        """Move or convert the teacher along with this module; it is not a submodule."""
        for teacher in self._teachers:
            teacher._apply(*arguments, **options)
        return super()._apply(*arguments, **options)

    def twin(self) -> "Objective":
        """A whole copy that shares nothing with this one, not even what was compiled; see :func:`sharding.whole`."""
        twin = Objective(
            MultiViewTransformer.from_config(self.transformer.config),
            PhotoCameraEstimator.from_config(self.camera_estimator.config),
            self.config,
            self.lora,
        )
        twin.load_state_dict({name: whole(value) for name, value in self.state_dict().items()})
        return twin.to(next(self.parameters()).device)


def build_models(config: TrainConfig) -> tuple[MultiViewTransformer, PhotoCameraEstimator]:
    """Fresh networks for the record's picture size, or those that the config continues from."""
    model, size = config.model, config.data.record.size
    kept = {}
    if model.init_from is not None:
        pipeline = MultiViewDiffusionPipeline.from_pretrained(model.init_from)
        unknown = set(model.init_components) - set(pipeline.components)
        if unknown:
            raise InputError(f"model.init_components knows transformer and camera_estimator, not {sorted(unknown)}.")
        kept = {name: pipeline.components[name].train() for name in model.init_components}
    # Only where it is needed: a fresh network would draw from the global generator.
    transformer = kept.get("transformer") or MultiViewTransformer(
        **({"sample_size": size, "reference_size": size} | model.transformer)
    )
    camera_estimator = kept.get("camera_estimator") or PhotoCameraEstimator(
        **({"sample_size": size} | model.camera_estimator)
    )
    learnt = transformer.config
    if model.guidance_below is not None and not 0 < model.guidance_below <= 1:
        raise InputError(f"model.guidance_below is a noise level above 0 and at most 1, not {model.guidance_below}.")
    transformer.claim_guidance(
        learnt.learnt_guidance if model.learnt_guidance is None else model.learnt_guidance,
        learnt.guidance_below if model.guidance_below is None else model.guidance_below,
    )
    if transformer.config.sample_size != size:
        raise InputError(
            f"The model makes pictures of {transformer.config.sample_size} pixels, the data has {size}: "
            f"render it with --size {transformer.config.sample_size}."
        )
    return transformer, camera_estimator


def build_teacher(config: TrainConfig, transformer: MultiViewTransformer) -> MultiViewTransformer | None:
    """The network that shows what guidance does, where ``transformer`` is to learn it."""
    if transformer.config.learnt_guidance == 1 or not config.loss.flow_weight:
        return None
    if config.model.guidance_refresh and config.lora.rank:
        raise InputError("A LoRA's teacher is the network without it: leave out model.guidance_refresh.")
    if config.model.init_from is None:
        raise InputError(
            "A network from scratch has no guidance to learn yet: set model.init_from, or model.learnt_guidance 1."
        )
    return MultiViewDiffusionPipeline.from_pretrained(config.model.init_from).transformer
