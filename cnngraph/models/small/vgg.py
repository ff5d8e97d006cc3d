"""VGG (Simonyan, Zisserman 2015) for small images, in torchvision's naming: ``features.N`` and ``classifier``."""

from __future__ import annotations

import torch
from torch import nn

from cnngraph.models.small.layout import Layout, initialise

__all__ = ["CONVS_PER_BLOCK", "VGG", "ThinVGG"]

CONVS_PER_BLOCK = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
_CHANNELS = (64, 128, 256, 512, 512)
_THIN = ((32, 32), (64, 64), (128, 128), (256,))


class VGG(nn.Module):
    """Five blocks of 3x3 convs, a 2x2 pool after each, two hidden dense layers of 512 units.

    A 32 px image gives vgg16 maps of 32, 32, 16, 16, 8 (3 times), 4 (3 times) and 2 (3 times) pixels.
    """

    def __init__(self, layout: Layout, blocks: tuple[int, ...], batch_norm: bool) -> None:
        super().__init__()
        layout.require_size(2, "vgg")
        features: list[nn.Module] = []
        channels, side = layout.in_channels, layout.size
        for full, convs in zip(_CHANNELS, blocks, strict=True):
            for _ in range(convs):
                features.append(nn.Conv2d(channels, layout.channels(full), kernel_size=3, padding=1))
                channels = layout.channels(full)
                if batch_norm:
                    features.append(nn.BatchNorm2d(channels))
                features.append(nn.ReLU())
            # A map of one pixel cannot be halved; the place stays so that names do not depend on the size.
            features.append(nn.MaxPool2d(2) if side > 1 else nn.Identity())
            side = max(side // 2, 1)
        self.features = nn.Sequential(*features)
        hidden = layout.channels(512)
        self.classifier = nn.Sequential(
            nn.Linear(channels * side * side, hidden),
            nn.ReLU(),
            nn.Dropout(layout.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(layout.dropout),
            nn.Linear(hidden, layout.classes),
        )
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, classes) for images of shape (N, in_channels, size, size)."""
        logits: torch.Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return logits


class ThinVGG(nn.Module):
    """Seven 3x3 convs with norm and ReLU in four groups, a 2x2 pool after each, and one dense layer over the mean map.

    As in Ansuini, Medvet, Pellegrino, Zullich, ICPRAM 2020, doi 10.5220/0008960300520059, for CIFAR-10 and SVHN:
    586,154 parameters at ten classes.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        layout.require_size(2, "vgg_svhn")
        features: list[nn.Module] = []
        channels, side = layout.in_channels, layout.size
        for group in _THIN:
            for full in group:
                features.append(nn.Conv2d(channels, layout.channels(full), kernel_size=3, padding=1))
                channels = layout.channels(full)
                features += [nn.BatchNorm2d(channels), nn.ReLU()]
            features.append(nn.MaxPool2d(2) if side > 1 else nn.Identity())
            side = max(side // 2, 1)
        self.features = nn.Sequential(*features)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, layout.classes)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, classes) for images of shape (N, in_channels, size, size)."""
        logits: torch.Tensor = self.classifier(torch.flatten(self.pool(self.features(x)), 1))
        return logits
