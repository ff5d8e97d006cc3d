"""The nets whose surgery is promised, and how each is built at the smallest size that it trains on."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.models.registry import build
from cnngraph.models.small.zoo import ZOO

__all__ = ["EVERY_NET", "SMALL", "TIMM", "TORCHVISION", "build_net", "input_shape"]

TORCHVISION = (
    "alexnet",
    "vgg11",
    "vgg16",
    "vgg16_bn",
    "vgg19_bn",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mnasnet0_5",
    "mnasnet1_0",
    "mnasnet1_3",
    "squeezenet1_0",
    "squeezenet1_1",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_v2_s",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_1_6gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_1_6gf",
    "regnet_y_3_2gf",
    "convnext_tiny",
    "convnext_small",
)
TIMM = (
    "timm:resnet18d",
    "timm:seresnet50",
    "timm:cspresnet50",
    "timm:ghostnet_100",
    "timm:repvgg_a0",
    "timm:rexnet_100",
)
SMALL = tuple(f"cnngraph:{name}" for name in ZOO)
EVERY_NET = (*TORCHVISION, *TIMM, *SMALL)

CLASSES = 10
_SIZE = 32
# Nets whose own pools, or whose auxiliary head's, shrink a smaller image to nothing.
_SIZES = {"alexnet": 64, "inception_v3": 299}
_BATCH = 8  # images whose statistics a new net gets
_SMALL_WIDTH = 0.25  # the structure is what is tested


def input_shape(name: str) -> tuple[int, int, int]:
    """(channels, height, width) of the smallest usual image that the net can be trained on."""
    size = _SIZES.get(name, _SIZE)
    return 3, size, size


def build_net(name: str) -> nn.Module:
    """The net with new weights from seed 0, in eval mode, awake. A name without a family is torchvision's."""
    full = name if ":" in name else f"torchvision:{name}"
    width = {"width": _SMALL_WIDTH} if name in SMALL else {}
    model = build(full, classes=CLASSES, size=input_shape(name)[1], seed=0, **width)
    _awake(model, torch.randn(_BATCH, *input_shape(name), generator=torch.Generator().manual_seed(0)))
    return model.eval()


def _awake(model: nn.Module, images: torch.Tensor) -> None:
    """Give batch norms the statistics of ``images``.

    With those that a new net has (mean 0, variance 1) the maps of a deep one fade until its logits hardly depend on the
    image, and nothing that is compared in eval mode could be seen to differ.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
