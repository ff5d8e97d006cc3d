"""AlexNet (Krizhevsky, Sutskever, Hinton 2012) for small images: five convs, overlapping 3x3 pools, no large stride."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.models.small.layout import Layout, initialise

__all__ = ["AlexNet"]


class AlexNet(nn.Module):
    """torchvision's channels and names, but a first conv of 5x5 and stride 1: 32 px give maps 32, 15, 7, 7, 7."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        layout.require_size(15, "alexnet")
        c1, c2, c3, c4 = (layout.channels(full) for full in (64, 192, 384, 256))
        hidden = layout.channels(1024)
        side = layout.size
        for _ in range(3):
            side = (side - 3) // 2 + 1
        self.features = nn.Sequential(
            nn.Conv2d(layout.in_channels, c1, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(c1, c2, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(c2, c3, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c3, c4, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c4, c4, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(layout.dropout),
            nn.Linear(c4 * side * side, hidden),
            nn.ReLU(),
            nn.Dropout(layout.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, layout.classes),
        )
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, classes) for images of shape (N, in_channels, size, size)."""
        logits: torch.Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return logits
