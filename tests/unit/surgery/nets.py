"""Nets and plans that the tests of surgery share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph.plan import Init, Plan, Removal


def plan(*layers: str, blocks: Sequence[str] = (), init: Init = "inherit", **fields: Any) -> Plan:
    """A plan by hand."""
    removes = [Removal(layer=layer) for layer in layers] + [Removal(layer=block, kind="block") for block in blocks]
    return Plan(removes=tuple(removes), init=init, **fields)


def seeded(build: Any, seed: int = 0) -> nn.Module:
    """``build()`` with weights from ``seed``, in eval mode; batch norms with statistics that are not the start's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = build().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return model


def images(*shape: int, seed: int = 0) -> Tensor:
    """Normal random images of ``shape`` (N, C, H, W)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batches(shape: tuple[int, int, int], number: int = 4, size: int = 32) -> list[tuple[Tensor, Tensor]]:
    """A loader: ``number`` batches of (images, labels)."""
    return [(images(size, *shape, seed=i), torch.arange(size) % 2) for i in range(number)]


class Pointwise(nn.Module):
    """2 x 2 images: three 1x1 convs without non-linearity and a dense layer: all of it can be multiplied by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 1)
        self.b = nn.Conv2d(2, 3, 1)
        self.c = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.c(self.b(self.a(x))), 1))


class LeNet(nn.Module):
    """28 x 28 as everyone writes it: unpadded convs, functional ReLU and pools, a view with the batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(256, 84)
        self.fc2 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.view(x.size(0), -1))))


class StoredSize(LeNet):
    """The same with the size of the last map written into the view."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.view(-1, 16 * 4 * 4))))


class FunctionalBlock(nn.Module):
    """A residual block with functional ReLU, and a shortcut of functions (option A: new channels are 0)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential() if stride == 1 else Padded(outputs - inputs)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class Padded(nn.Module):
    """Every second place, and ``more`` channels of zeros."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more))


class OptionA(nn.Module):
    """8 x 8: a stem and three functional blocks, the last of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.Sequential(FunctionalBlock(4, 4, 1), FunctionalBlock(4, 4, 1), FunctionalBlock(4, 8, 2))
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(F.relu(self.conv(x))).mean((2, 3)))
