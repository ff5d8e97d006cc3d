"""The names of the small nets and how each is built."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from cnngraph.models.small.alexnet import AlexNet
from cnngraph.models.small.layout import Layout
from cnngraph.models.small.lenet import LeNet5, LeNet5Average
from cnngraph.models.small.mobilenet import SmallMobileNetV2
from cnngraph.models.small.resnet import BLOCKS_PER_STAGE, SmallResNet
from cnngraph.models.small.vgg import CONVS_PER_BLOCK, VGG, ThinVGG

__all__ = ["OWN_SIZES", "ZOO"]

OWN_SIZES = {"lenet5_avg": 28}  # pixels, where it is not the 32 of all others

ZOO: dict[str, Callable[[Layout], nn.Module]] = {
    "lenet5": LeNet5,
    "lenet5_avg": LeNet5Average,
    "alexnet": AlexNet,
    **{name: partial(VGG, blocks=blocks, batch_norm=False) for name, blocks in CONVS_PER_BLOCK.items()},
    **{f"{name}_bn": partial(VGG, blocks=blocks, batch_norm=True) for name, blocks in CONVS_PER_BLOCK.items()},
    "vgg_svhn": ThinVGG,
    **{name: partial(SmallResNet, blocks=blocks) for name, blocks in BLOCKS_PER_STAGE.items()},
    "mobilenet_v2": SmallMobileNetV2,
}
