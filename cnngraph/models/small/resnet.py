"""ResNets for small images (He, Zhang, Ren, Sun 2016, section 4.2), shortcuts by projection (option B)."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.models.small.layout import Layout, initialise

__all__ = ["BLOCKS_PER_STAGE", "BasicBlock", "SmallResNet"]

BLOCKS_PER_STAGE = {"resnet20": 3, "resnet32": 5, "resnet56": 9}
_CHANNELS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convs beside a shortcut; a ReLU module for each of its two places."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        total: torch.Tensor = self.relu2(x + shortcut)
        return total


class SmallResNet(nn.Module):
    """One conv, three stages of ``blocks`` basic blocks with 16, 32 and 64 channels, global mean, one dense layer."""

    def __init__(self, layout: Layout, blocks: int) -> None:
        super().__init__()
        widths = [layout.channels(full) for full in _CHANNELS]
        self.conv1 = nn.Conv2d(layout.in_channels, widths[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(widths[0], widths[0], blocks, stride=1)
        self.layer2 = _stage(widths[0], widths[1], blocks, stride=2)
        self.layer3 = _stage(widths[1], widths[2], blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[2], layout.classes)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, classes) for images of shape (N, in_channels, size, size)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, stride=1) for _ in range(blocks - 1)))
