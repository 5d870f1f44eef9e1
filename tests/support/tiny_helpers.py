"""Pretrained helpers with random weights of a few thousand parameters, in folders as they are published."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from tiny_tokenizer import save_tokenizer

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def save(model: Any, folder: Path, preprocessor: dict[str, Any] | None = None) -> Path:
    """Save with random values where a network begins with zeros, and a preprocessor's configuration."""
    for parameter in model.parameters():
        if parameter.numel() and float(parameter.detach().abs().max()) == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(folder, safe_serialization=True)
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def tiny_sam2(folder: Path) -> Path:
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    torch.manual_seed(0)
    widths = [8, 16, 32, 64]
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone.to_dict(),
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )
    prompts = {"hidden_size": 32, "image_size": 128, "patch_size": 16}
    decoder = {
        **{"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        **{"num_hidden_layers": 1, "dynamic_multimask_via_stability": False},
    }
    config = Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    preprocessor = {**IMAGENET, "size": {"height": 128, "width": 128}, "resample": 2}
    model = Sam2Model(config).eval()
    with torch.no_grad():  # sure of itself, so that its masks are used
        model.mask_decoder.iou_prediction_head.proj_out.bias.add_(0.8)
    return save(model, folder, preprocessor)


def tiny_dinov2(folder: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    preprocessor = {
        **IMAGENET,
        "size": {"shortest_edge": 64},
        "crop_size": {"height": 56, "width": 56},
        "resample": 3,
        "image_processor_type": "BitImageProcessor",
    }
    return save(Dinov2Model(Dinov2Config(**sizes)).eval(), folder, preprocessor)


def tiny_depth_anything(folder: Path) -> Path:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=32,
        patch_size=14,
        neck_hidden_sizes=[8, 16, 16, 16],
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    preprocessor = {
        **IMAGENET,
        "size": {"height": 56, "width": 56},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
        "resample": 3,
    }
    model = DepthAnythingForDepthEstimation(config).eval()
    with torch.no_grad():  # its last step cuts off what is below zero
        model.head.conv3.bias.fill_(2.0)
    return save(model, folder, preprocessor)


def tiny_marigold(folder: Path) -> Path:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=4,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    )
    text = CLIPTextConfig(
        **{"vocab_size": 8, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
        **{"num_attention_heads": 2, "max_position_embeddings": 77},
        **{"bos_token_id": 6, "eos_token_id": 7, "pad_token_id": 0},
    )
    for name, model in {"unet": unet, "vae": vae, "text_encoder": CLIPTextModel(text)}.items():
        save(model.eval(), folder / name)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
    )
    scheduler.save_pretrained(folder / "scheduler")
    save_tokenizer(folder / "tokenizer")
    index = {"_class_name": "MarigoldNormalsPipeline", "use_full_z_range": True, "default_denoising_steps": 4}
    (folder / "model_index.json").write_text(json.dumps(index | {"default_processing_resolution": 768}))
    return folder


def sphere_moge(path: Path, normal_flip: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Path:
    """A graph with MoGe-2's names and shapes that sees a sphere of radius 1 at depth 4, fov 50, in any picture.

    Its points lack a constant of depth, as the network's do.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    points, normal, mask = sphere_maps(96, 128)
    flipped = normal * torch.tensor(normal_flip)[:, None, None]
    constants = {
        "seen": (points - torch.tensor([0.0, 0.0, 2.5])[:, None, None]).permute(1, 2, 0)[None],
        "facing": flipped.permute(1, 2, 0)[None],
        "inside": mask[None],
        "zero": torch.zeros(1),
        "factor": torch.tensor([1.7]),
    }
    nodes = [  # the picture and the number of tokens take part, so that the runtime cannot leave them out
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Cast", ["num_tokens"], ["tokens"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["tokens", "zero"], ["none"]),
        helper.make_node("Add", ["seen", "nothing"], ["points"]),
        helper.make_node("Add", ["facing", "nothing"], ["normal"]),
        helper.make_node("Add", ["inside", "none"], ["mask"]),
        helper.make_node("Add", ["factor", "nothing"], ["metric_scale"]),
    ]
    shapes = {"points": [1, 96, 128, 3], "normal": [1, 96, 128, 3], "mask": [1, 96, 128], "metric_scale": [1]}
    graph = helper.make_graph(
        nodes,
        "sphere",
        [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", 3, "h", "w"]),
            helper.make_tensor_value_info("num_tokens", TensorProto.INT64, []),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value.float().numpy(), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def sphere_maps(height: int, width: int, fov: float = 50.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points and normals [3 h w] in OpenCV camera axes, and mask [h w], of a sphere of radius 1 at depth 4."""
    lens = 0.5 * height / math.tan(math.radians(fov) / 2)
    y, x = torch.meshgrid(torch.arange(height) + 0.5 - height / 2, torch.arange(width) + 0.5 - width / 2, indexing="ij")
    rays = torch.nn.functional.normalize(torch.stack([x / lens, y / lens, torch.ones_like(x)]).double(), dim=0)
    center = torch.tensor([0.3, -0.2, 4.0], dtype=torch.float64)
    along = (rays * center[:, None, None]).sum(0)
    square = along**2 - (center @ center - 1)
    mask = square > 0
    points = rays * (along - square.clamp_min(0).sqrt())
    normal = points - center[:, None, None]
    return (points * mask).float(), (normal * mask).float(), mask.float()
