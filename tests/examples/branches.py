"""A net that is in no list: two branches, a concat, a sum, a gate and a module that is called twice."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Branches(nn.Module):
    """Reads (N, 3, H, W), H and W at least 8; gives (N, classes) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(16)
        self.wide = nn.Conv2d(16, 12, 5, padding=2)
        self.narrow = nn.Sequential(
            nn.Conv2d(16, 8, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 20, 3, padding=1)
        )
        self.shared = nn.Conv2d(32, 32, 3, padding=1)
        self.shared_norm = nn.ModuleList([nn.BatchNorm2d(32), nn.BatchNorm2d(32)])
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 4, 1), nn.ReLU(), nn.Conv2d(4, 32, 1), nn.Sigmoid()
        )
        self.down = nn.Conv2d(32, 48, 3, stride=2, padding=1, groups=2)
        self.head = nn.Linear(48 * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(x)))
        x = F.max_pool2d(x, 2)
        x = torch.cat([F.gelu(self.wide(x)), self.narrow(x)], dim=1)
        for norm in self.shared_norm:  # one conv, two norms: called twice
            x = x + F.relu(norm(self.shared(x)))
        x = x * self.gate(x)
        x = F.adaptive_avg_pool2d(F.hardswish(self.down(x)), 2)
        return self.head(torch.flatten(x, 1))


def build(classes: int) -> nn.Module:
    """For ``python:branches:build``."""
    return Branches(classes)
