"""LeNet-5 with ReLU (LeCun, Bottou, Bengio, Haffner 1998): with max pools, for 28 and 32 px; with average pools."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.models.small.layout import Layout, initialise

__all__ = ["LeNet5", "LeNet5Average"]


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


class LeNet5Average(nn.Module):
    """Without padding and with average pools: 44,426 parameters at 28 px, grey, ten classes.

    As in Ansuini, Medvet, Pellegrino, Zullich, ICPRAM 2020, doi 10.5220/0008960300520059, who compare the outputs after
    each ReLU and pool, and the logits: these layers have the names of their tables, ``relu1, pool1, relu2, pool2, fc1,
    fc2, logits`` (``fc1`` and ``fc2`` are the ReLUs after the dense layers ``dense1`` and ``dense2``).
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        layout.require_size(16, "lenet5_avg")
        first, second = layout.channels(6), layout.channels(16)
        third, fourth = layout.channels(120), layout.channels(84)
        side = ((layout.size - 4) // 2 - 4) // 2
        self.conv1 = nn.Conv2d(layout.in_channels, first, kernel_size=5)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(first, second, kernel_size=5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.AvgPool2d(2)
        self.dense1 = nn.Linear(second * side * side, third)
        self.fc1 = nn.ReLU()
        self.dense2 = nn.Linear(third, fourth)
        self.fc2 = nn.ReLU()
        self.logits = nn.Linear(fourth, layout.classes)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, classes) for images of shape (N, in_channels, size, size)."""
        x = self.pool1(self.relu1(self.conv1(x)))
        x = torch.flatten(self.pool2(self.relu2(self.conv2(x))), 1)
        x = self.fc2(self.dense2(self.fc1(self.dense1(x))))
        logits: torch.Tensor = self.logits(x)
        return logits
