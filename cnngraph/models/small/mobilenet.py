"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen 2018) for small images, in torchvision's naming.

Three of the paper's five strides are kept (stem and second stage do not shrink), so that 32 px end as maps of 4 px, as
is usual on CIFAR. At width 1 a state dict of torchvision's net fits. Unlike the paper's, our width scales the last
1x1 conv too, and widths are not rounded to multiples of 8.
"""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.models.small.layout import Layout, initialise

__all__ = ["InvertedResidual", "SmallMobileNetV2"]

# (expansion, channels, blocks, stride of the first block): the paper's table 2, the second stage's stride 1 for 2.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_STEM, _LAST = 32, 1280


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (3x3, depthwise), project (1x1, linear); a shortcut where the shapes allow one."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        convs: list[nn.Module] = []
        if expansion != 1:
            convs.append(_unit(inputs, hidden, kernel=1))
        convs.append(_unit(hidden, hidden, kernel=3, stride=stride, groups=hidden))
        convs += [nn.Conv2d(hidden, outputs, kernel_size=1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*convs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        branch: torch.Tensor = self.conv(x)
        return x + branch if self.shortcut else branch


class SmallMobileNetV2(nn.Module):
    """One conv, seventeen inverted residual blocks, a 1x1 conv, global mean, one dense layer."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        channels = layout.channels(_STEM)
        features: list[nn.Module] = [_unit(layout.in_channels, channels, kernel=3)]
        for expansion, full, blocks, first_stride in _STAGES:
            outputs = layout.channels(full)
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                features.append(InvertedResidual(channels, outputs, stride, expansion))
                channels = outputs
        last = layout.channels(_LAST)
        self.features = nn.Sequential(*features, _unit(channels, last, kernel=1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.4 * layout.dropout), nn.Linear(last, layout.classes))
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, classes) for images of shape (N, in_channels, size, size)."""
        logits: torch.Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


def _unit(inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Conv, batch norm, ReLU6: the unit that torchvision calls Conv2dNormActivation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )
