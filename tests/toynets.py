"""Nets so small that every number about them can be computed by hand.

``TOYS`` maps a name to (class, input shape); ``toy(name)`` builds one with weights from a fixed seed. All are made of
at most a few channels and take images of at most 16 x 16.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainChain(nn.Module):
    """4 x 4: conv A 3x3 same, conv B 3x3 same. A has 4 positions, B 16, 36 arcs."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.b = nn.Conv2d(2, 3, 3, padding=1)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.relu(self.a(x))).mean((2, 3)))


class PooledChain(nn.Module):
    """8 x 8: conv A, 2 x 2 max-pool, conv B. A has 36 positions, B 16, 256 arcs."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1, bias=False),
            nn.BatchNorm2d(2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


class BasicBlock(nn.Module):
    """Two 3x3 convs and a skip connection, with a 1x1 conv on it where shapes change."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += skip
        return self.relu(out)


class Residual(nn.Module):
    """8 x 8: a stem and three basic blocks, the last with stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4))
        self.layer2 = nn.Sequential(BasicBlock(4, 8, stride=2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.pool(self.layer2(self.layer1(self.stem(x)))), 1))


class Bottleneck(nn.Module):
    """8 x 8: a stem and one 1x1, 3x3, 1x1 block with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv1 = nn.Conv2d(8, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2)
        self.conv3 = nn.Conv2d(2, 8, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.fc(F.relu(x + y).mean((2, 3)))


class ConcatNet(nn.Module):
    """8 x 8: a 1x3 and a 3x1 conv side by side, then a 1x1 conv."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.row = nn.Conv2d(2, 2, (1, 3), padding=(0, 1))
        self.column = nn.Conv2d(2, 3, (3, 1), padding=(1, 0))
        self.merge = nn.Conv2d(5, 2, 1)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.cat([self.row(x), self.column(x)], 1)
        return self.fc(self.merge(torch.relu(x)).amax((2, 3)))


class Cross(nn.Module):
    """6 x 6: a row and a column pool side by side between two 1x1 convs: the second looks at crosses of 5 places."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 1)
        self.b = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        row = F.avg_pool2d(x, (1, 3), 1, (0, 1))
        column = F.max_pool2d(x, (3, 1), 1, (1, 0))
        return self.fc(self.b(torch.cat([row, column], 1)).mean((2, 3)))


class SharedModule(nn.Module):
    """6 x 6: one conv registered under two names (``first``, ``second``)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 2, 3, padding=1)
        self.second = self.first
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


class CalledTwice(nn.Module):
    """6 x 6: one conv and one ReLU, each called twice; the second sum adds a value to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(x))
        x = self.relu(self.conv(x))
        x = x + x
        return self.fc((x * x).mean((2, 3)))


class Functional(nn.Module):
    """8 x 8: no module but the weights' owners; everything else, also one conv, is a function call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.weight = nn.Parameter(torch.linspace(-1, 1, 54).reshape(3, 2, 3, 3))
        self.bias = nn.Parameter(torch.zeros(3))
        self.fc = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = F.relu(F.conv2d(x, self.weight, self.bias, padding=1))
        x = F.adaptive_avg_pool2d(x, 2)
        return self.fc(x.view(x.size(0), -1))


class InPlaceRelu(nn.Module):
    """6 x 6: the value of a conv is overwritten by ``relu_`` and read again under its old name."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 3, padding=1)
        self.b = nn.Conv2d(2, 2, 3, padding=1)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        F.relu(x, inplace=True)
        y = self.b(x).relu_()
        y += x
        return self.fc(y.mean((2, 3)))


class Grouped(nn.Module):
    """8 x 8: a depthwise conv with stride 2 (padding ``same`` is not allowed there), a grouped and a dilated one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding="same")
        self.depthwise = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)
        self.grouped = nn.Conv2d(4, 6, 1, groups=2)
        self.dilated = nn.Conv2d(6, 2, 3, padding=2, dilation=2)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.depthwise(F.relu6(self.stem(x))))
        return self.fc(self.dilated(self.grouped(x)).mean((2, 3)))


class Gate(nn.Module):
    """6 x 6: squeeze and excitation: the channels of a conv are scaled by a gate that sees the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.squeeze = nn.Conv2d(4, 2, 1)
        self.excite = nn.Conv2d(2, 4, 1)
        self.project = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.conv(x))
        gate = F.adaptive_avg_pool2d(x, 1)
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(gate))))
        return self.fc(self.project(x * gate).mean((2, 3)))


class AuxHead(nn.Module):
    """6 x 6: a second head that exists in train mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 3, padding=1)
        self.b = nn.Conv2d(2, 2, 3, padding=1)
        self.aux = nn.Linear(2, 2)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = torch.relu(self.a(x))
        out = self.fc(torch.relu(self.b(x)).mean((2, 3)))
        if self.training:
            return out, self.aux(x.mean((2, 3)))
        return out


TOYS: dict[str, tuple[type[nn.Module], tuple[int, int, int]]] = {
    "plain": (PlainChain, (1, 4, 4)),
    "pooled": (PooledChain, (1, 8, 8)),
    "residual": (Residual, (3, 8, 8)),
    "bottleneck": (Bottleneck, (3, 8, 8)),
    "concat": (ConcatNet, (1, 8, 8)),
    "cross": (Cross, (1, 6, 6)),
    "shared": (SharedModule, (2, 6, 6)),
    "twice": (CalledTwice, (2, 6, 6)),
    "functional": (Functional, (1, 8, 8)),
    "inplace": (InPlaceRelu, (1, 6, 6)),
    "grouped": (Grouped, (1, 8, 8)),
    "gate": (Gate, (1, 6, 6)),
    "aux": (AuxHead, (1, 6, 6)),
}


def toy(name: str, seed: int = 0) -> nn.Module:
    """The toy ``name`` in eval mode, with weights from ``seed`` (the global random state is left alone)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TOYS[name][0]().eval()


def toy_shape(name: str) -> tuple[int, int, int]:
    """The input shape of the toy ``name``: (channels, height, width)."""
    return TOYS[name][1]


def filled(model: nn.Module, value: float = 1.0) -> nn.Module:
    """Set every weight to ``value`` and every bias to 0, in place; batch norms become the identity."""
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                one = 1.0 if isinstance(module, nn.BatchNorm2d) else value
                parameter.fill_(0.0 if name == "bias" else one)
    return model
