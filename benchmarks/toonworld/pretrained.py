"""Start the picture tower from ImageNet MobileNetV2 weights (Apache-2.0, ../shared/data/weights), not from noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

FROZEN_BLOCKS = 2


def _twins(trunk: nn.Module) -> dict[str, nn.Module]:
    """Torchvision's layer names -> layers of timm's ``mobilenetv2_100``."""
    pairs: dict[str, nn.Module] = {"features.0.0": trunk.conv_stem, "features.0.1": trunk.bn1}
    pairs |= {"features.18.0": trunk.conv_head, "features.18.1": trunk.bn2}
    for number, block in enumerate((block for stage in trunk.blocks for block in stage), start=1):
        name = f"features.{number}.conv"
        if number == 1:
            pairs |= {f"{name}.0.0": block.conv_dw, f"{name}.0.1": block.bn1, f"{name}.1": block.conv_pw}
            pairs[f"{name}.2"] = block.bn2
        else:
            pairs |= {f"{name}.0.0": block.conv_pw, f"{name}.0.1": block.bn1, f"{name}.1.0": block.conv_dw}
            pairs |= {f"{name}.1.1": block.bn2, f"{name}.2": block.conv_pwl, f"{name}.3": block.bn3}
    return pairs


def load(trunk: nn.Module, path: Path) -> None:
    """Copy torchvision-named weights (fp16 safetensors) into timm's ``mobilenetv2_100``."""
    from safetensors.torch import load_file

    state = load_file(path)
    for name, layer in _twins(trunk).items():
        layer.load_state_dict({key: state[f"{name}.{key}"] for key in layer.state_dict()})


def load_earlier(tower: nn.Module, folder: Path) -> None:
    """Copy the picture tower of an encoder that `train_encoder` wrote."""
    from safetensors.torch import load_file

    state = load_file(folder / "open_clip_model.safetensors")
    mine = {key.removeprefix("visual."): value.float() for key, value in state.items() if key.startswith("visual.")}
    tower.load_state_dict(mine)


def unfold_norms(trunk: nn.Module, pictures: Tensor) -> None:
    """Give norms that were folded into convolutions (mean 0, variance 1) the statistics of ``pictures`` [n, 3, s, s].

    Scale and shift change so that the function stays the same; now it can be trained with batch statistics.
    """

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3)).clamp(min=1e-4)
        old = (norm.running_var + norm.eps).sqrt()
        norm.bias.add_(norm.weight * (mean - norm.running_mean) / old)
        norm.weight.mul_((variance + norm.eps).sqrt() / old)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    with torch.no_grad():
        trunk.eval()(pictures)
    for hook in hooks:
        hook.remove()


def freeze_first(trunk: nn.Module) -> None:
    """Keep the stem and the first stages as they are: they cost most and need to learn least."""
    for part in (trunk.conv_stem, trunk.bn1, *trunk.blocks[:FROZEN_BLOCKS]):
        part.eval().requires_grad_(False)
