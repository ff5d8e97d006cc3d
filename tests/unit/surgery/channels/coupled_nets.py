"""Nets of 6 x 6 images, one for each way in which channels are coupled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops.misc import Permute

SHAPE = (1, 6, 6)


class Net(nn.Module):
    """Layers by name and a function of them; the maps that it gives are averaged for a dense layer ``fc``."""

    def __init__(self, run: Callable[[Net, Tensor], Tensor], last: int, **layers: nn.Module) -> None:
        super().__init__()
        self._run = run
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.fc = nn.Linear(last, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self._run(self, x).mean((2, 3)))


def conv(inputs: int, outputs: int, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, **options)  # type: ignore[arg-type]


def added() -> Net:
    return Net(lambda net, x: torch.relu(net.a(x)) + net.b(x), 3, a=conv(1, 3), b=conv(1, 3))


def concatenated() -> Net:
    return Net(lambda net, x: net.c(torch.cat([net.a(x), net.b(x)], 1)), 2, a=conv(1, 2), b=conv(1, 3), c=conv(5, 2))


def split() -> Net:
    def run(net: Net, x: Tensor) -> Tensor:
        left, right = net.a(x).chunk(2, 1)
        return torch.cat([net.b(left), right], 1)

    return Net(run, 4, a=conv(1, 4), b=conv(2, 2))


def shuffled() -> Net:
    def run(net: Net, x: Tensor) -> Tensor:
        x = net.a(x)
        images, channels, rows, columns = x.size()
        x = x.view(images, 2, channels // 2, rows, columns).transpose(1, 2).contiguous()
        return net.b(x.view(images, -1, rows, columns))

    return Net(run, 2, a=conv(1, 6), b=conv(6, 2))


def chain(**layers: nn.Module) -> nn.Sequential:
    """The layers, a mean over places and a dense layer to 2 outputs."""
    convs = [layer for layer in layers.values() if isinstance(layer, nn.Conv2d | nn.Linear)]
    last = convs[-1].out_channels if isinstance(convs[-1], nn.Conv2d) else convs[-1].out_features
    ends = {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "fc": nn.Linear(last, 2)}
    return nn.Sequential(OrderedDict(**layers, **ends))


def channels_last() -> nn.Sequential:
    return chain(
        a=conv(1, 4), out=Permute([0, 2, 3, 1]), norm=nn.LayerNorm(4), up=nn.Linear(4, 3), back=Permute([0, 3, 1, 2])
    )


class Gated(nn.Module):
    """Squeeze and excite by dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(1, 3)
        self.squeeze = nn.Linear(3, 2)
        self.excite = nn.Linear(2, 3)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3))))))
        return self.fc((x * gate[:, :, None, None]).mean((2, 3)))


class Scaled(nn.Module):
    """A residual branch with one scale a channel, as ConvNeXt has it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(1, 3)
        self.b = conv(3, 3)
        self.scale = nn.Parameter(torch.full((3, 1, 1), 0.5))
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.fc((x + self.scale * self.b(x)).mean((2, 3)))


class FunctionalNorm(nn.Module):
    """A batch norm whose ``forward`` calls the function with its own weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_features = channels
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, channels))
        self.bias = nn.Parameter(torch.linspace(-1, 1, channels))
        self.register_buffer("running_mean", torch.linspace(-0.1, 0.1, channels))
        self.register_buffer("running_var", torch.linspace(0.5, 2, channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)  # type: ignore[arg-type]


class Stored(nn.Module):
    """Sizes that were stored when the net was built: the end of a slice, the parts of a split, one side of a view."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 4
        self.parts = (3, 1)
        self.a = conv(1, 6)
        self.b = conv(1, 4)
        self.c = conv(1, 8)
        self.fc = nn.Linear(4, 2)
        self.flat = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)[:, : self.width]
        left, right = self.b(x).split(self.parts, 1)
        c = self.c(x).view(-1, 2, self.width, 6, 6).mean(1)
        return self.fc((a + torch.cat([left, right], 1) + c).mean((2, 3)))


class Written(nn.Module):
    """The first 2 channels by a number in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(1, 5)
        self.b = conv(2, 3)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.a(x)[:, :2]).mean((2, 3)))


class Auxiliary(nn.Module):
    """A second head that train mode alone has."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(1, 3)
        self.b = conv(3, 2)
        self.aux = conv(3, 2)
        self.fc = nn.Linear(2, 2)
        self.aux_fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.a(x)
        logits = self.fc(self.b(x).mean((2, 3)))
        return (logits, self.aux_fc(self.aux(x).mean((2, 3)))) if self.training else logits


class Twice(nn.Module):
    """One conv that is called on two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(1, 3)
        self.b = conv(1, 3)
        self.both = conv(3, 2)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.both(self.a(x)) - self.both(self.b(x)) ** 2).mean((2, 3)))


class Tied(nn.Module):
    """Two convs with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(1, 3)
        self.b = conv(1, 3)
        self.b.weight = self.a.weight
        self.c = conv(3, 2)
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.c(torch.relu(self.a(x)) * self.b(x)).mean((2, 3)))


class Unread(nn.Module):
    """A conv whose maps nothing reads; it is called all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.a = conv(1, 3)
        self.idle = conv(3, 2)
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        self.idle(x)
        return self.fc(x.mean((2, 3)))
