"""The trained module of scenes: the transformer and its loss."""

import torch
from torch import nn

from mvdiff.models import MultiViewTransformer
from mvdiff.models.encoding import CHANNELS, CONDITION_CHANNELS
from mvdiff.pipelines.scene_diffusion import load_transformer
from mvdiff.training.config import ModelConfig
from mvdiff.training.scenes.batch import SceneBatch
from mvdiff.training.scenes.config import SceneLossConfig
from mvdiff.training.scenes.losses import scene_loss
from mvdiff.training.sharding import whole
from recon.core.errors import InputError


class SceneObjective(nn.Module):
    """The transformer and its loss as one module, so that one wrapper synchronizes all gradients."""

    adapts = False
    teacher = None

    def __init__(self, transformer: MultiViewTransformer, config: SceneLossConfig) -> None:
        super().__init__()
        self.transformer, self.config = transformer, config
        if transformer.config.noise_groups != 2:
            raise InputError("Scenes need a network of two noise levels a view: set model.transformer.noise_groups 2.")
        if transformer.config.condition_channels not in (0, CONDITION_CHANNELS):
            raise InputError(f"model.transformer.condition_channels is 0 or {CONDITION_CHANNELS} for scenes.")

    @property
    def blocks(self) -> list[nn.Module]:
        return list(self.transformer.blocks)

    def compile_blocks(self) -> None:
        for block in self.blocks:
            block.forward = torch.compile(block.forward, dynamic=False)

    def changed_teacher(self) -> None:
        """Scenes have no teacher."""

    def forward(self, batch: SceneBatch, generator):
        return scene_loss(self.transformer, batch, generator, self.config)

    def twin(self) -> "SceneObjective":
        """A whole copy that shares nothing with this one."""
        twin = SceneObjective(MultiViewTransformer.from_config(self.transformer.config), self.config)
        twin.load_state_dict({name: whole(value) for name, value in self.state_dict().items()})
        return twin.to(next(self.parameters()).device)


def build_scene_transformer(config: ModelConfig) -> MultiViewTransformer:
    """A network of the configured shape; what it has in common with the weights to begin from is taken from there."""
    shape = {"in_channels": CHANNELS, "noise_groups": 2, "condition_channels": CONDITION_CHANNELS}
    transformer = MultiViewTransformer(**(shape | config.transformer)).train()
    if config.init_from is not None:
        warm_start(transformer, load_transformer(config.init_from))
    return transformer


def warm_start(transformer: MultiViewTransformer, source: MultiViewTransformer) -> list[str]:
    """Copy what has the same name and shape in ``source``; returns the names of what begins afresh."""
    own, other = transformer.state_dict(), source.state_dict()
    fitting = {name: other[name] for name, value in own.items() if name in other and other[name].shape == value.shape}
    if not any(name.startswith("blocks.") for name in fitting):
        raise InputError("The weights to begin from have blocks of another width: set model.transformer to theirs.")
    transformer.load_state_dict(fitting, strict=False)
    return sorted(own.keys() - fitting.keys())
