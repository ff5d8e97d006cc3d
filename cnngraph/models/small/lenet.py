"""LeNet-5 with ReLU and max pooling (LeCun, Bottou, Bengio, Haffner 1998), for 28 and 32 px and any size from 12 px."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.models.small.layout import Layout, initialise

__all__ = ["LeNet5"]


class LeNet5(nn.Module):
    """Two 5x5 convs, each with a 2x2 pool, and three dense layers: 61,706 parameters at 32 px, grey, ten classes."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        layout.require_size(12, "lenet5")
        first, second = layout.channels(6), layout.channels(16)
        # The paper pads 28 px digits to 32; padding the first conv is the same for images that come at 28.
        padding = 2 if layout.size < 32 else 0
        side = ((layout.size + 2 * padding - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            nn.Conv2d(layout.in_channels, first, kernel_size=5, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(second * side * side, layout.channels(120)),
            nn.ReLU(),
            nn.Linear(layout.channels(120), layout.channels(84)),
            nn.ReLU(),
            nn.Linear(layout.channels(84), layout.classes),
        )
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, classes) for images of shape (N, in_channels, size, size)."""
        logits: torch.Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return logits
