"""Nets with weights that are small whole numbers: what is left of them after a cut can be worked out by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(rows: list[list[float]], *, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A conv whose kernel has ``rows`` (outputs x inputs) in its middle and is 0 around it; no bias."""
    weight = torch.tensor(rows)
    made = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], kernel, stride, kernel // 2, groups=groups, bias=False)
    with torch.no_grad():
        made.weight.zero_()
        made.weight[:, :, kernel // 2, kernel // 2] = weight
    return made


def norm(channels: int, shift: float = 0.0) -> nn.BatchNorm2d:
    """A batch norm that adds ``shift`` (eps is 0)."""
    made = nn.BatchNorm2d(channels, eps=0.0)
    nn.init.constant_(made.bias, shift)
    return made


def image(*rows: list[float]) -> Tensor:
    """One image of one channel."""
    return torch.tensor([[list(rows)]])


class Pooled(nn.Module):
    """What every net here ends in: the means of its maps."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)).mean((2, 3))  # type: ignore[operator, no-any-return]

    def body(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Sum(Pooled):
    """A stem that widens, a branch, and a strided block with a projection: every kind of sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv([[1.0], [2.0]], kernel=3)
        self.branch = conv([[1.0, 0.0], [0.0, 1.0]], kernel=3)
        self.narrow = conv([[1.0, 1.0]], kernel=3, stride=2)
        self.wide = conv([[1.0], [2.0], [3.0]])
        self.shortcut = conv([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], stride=2)
        self.head = conv([[1.0, 1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.branch(x)
        return self.wide(self.narrow(x)) + self.shortcut(x)


class Joined(Pooled):
    """A concatenation that a conv reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left = conv([[1.0], [2.0]], kernel=3)
        self.right = conv([[3.0], [4.0], [5.0]], kernel=3)
        self.head = conv([[1.0, 10.0, 100.0, 1000.0, 10000.0]])

    def body(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)


class Dense(Pooled):
    """Two dense layers: norms read a concatenation, and a transition whose width the second norm shares in."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv([[1.0], [2.0]], kernel=3)
        self.norm1 = norm(2)
        self.grow1 = conv([[1.0, 1.0]], kernel=3)
        self.transition = conv([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
        self.norm2 = norm(2, shift=1.0)
        self.grow2 = conv([[1.0, 1.0]], kernel=3)
        self.norm3 = norm(3, shift=2.0)
        self.head = conv([[1.0, 10.0, 100.0]])

    def body(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.transition(torch.cat([x, self.grow1(self.norm1(x))], 1))
        return self.norm3(torch.cat([x, self.grow2(self.norm2(x))], 1))


class Inverted(nn.Module):
    """Expand, depthwise (strided or not), project; with a shortcut where it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, gate: nn.Module | None = None) -> None:
        super().__init__()
        middle = 4
        self.expand = conv([[1.0] * inputs] * middle)
        self.depthwise = conv([[1.0]] * middle, kernel=3, stride=stride, groups=middle)
        self.gate = gate or nn.Identity()
        self.project = conv([[1.0] * middle] * outputs)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.gate(self.depthwise(self.expand(x))))
        return x + out if self.skips else out


class Mobile(Pooled):
    """A stem, three inverted bottlenecks (a strided one between two residual ones)."""

    def __init__(self, gate: bool = False) -> None:
        super().__init__()
        self.stem = conv([[1.0], [2.0]], kernel=3)
        gates = [Gate(4) if gate else None for _ in range(3)]
        self.blocks = nn.Sequential(
            Inverted(2, 2, 1, gates[0]), Inverted(2, 3, 2, gates[1]), Inverted(3, 3, 1, gates[2])
        )
        self.head = conv([[1.0, 1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x))  # type: ignore[no-any-return]


class Gate(nn.Module):
    """Squeeze and excite as a module; at weight 0 it halves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = conv([[0.0] * channels])
        self.grow = conv([[0.0]] * channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.reduce(x.mean((2, 3), keepdim=True))
        return x * torch.sigmoid(self.grow(F.relu(scale)))


class Gated(Pooled):
    """The same inside a larger forward, where no module could be replaced."""

    def __init__(self, last: str = "sigmoid") -> None:
        super().__init__()
        self.stem = conv([[1.0], [2.0]], kernel=3)
        self.reduce = conv([[0.0, 0.0]])
        self.grow = conv([[0.0], [0.0]])
        self.last = last
        self.head = conv([[1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        scale = self.grow(F.relu(self.reduce(F.adaptive_avg_pool2d(x, 1))))
        return x * getattr(torch, self.last)(scale)


class Twice(Pooled):
    """A conv and its norm that are called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv([[1.0], [2.0]], kernel=3)
        self.again = conv([[3.0, 0.0], [0.0, 3.0]], kernel=3)
        self.norm = norm(2, shift=1.0)
        self.head = conv([[1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(2):
            x = self.norm(self.again(x))
        return x


class Auxiliary(Pooled):
    """A second head that only train mode has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv([[1.0], [2.0]], kernel=3)
        self.second = conv([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], kernel=3)
        self.aux = conv([[1.0, 1.0, 1.0]])
        self.head = conv([[1.0, 1.0, 1.0]])

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:  # type: ignore[override]
        x = self.second(self.first(x))
        main = self.head(x).mean((2, 3))
        return (main, self.aux(x).mean((2, 3))) if self.training else main


class NormWithMore(nn.BatchNorm2d):
    """A batch norm with an activation inside, in one module with a forward of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=0.0)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps)
        return self.act(x)  # type: ignore[no-any-return]


class Composite(Pooled):
    """Convs with such norms, the second before a depthwise conv."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv([[1.0], [-2.0]], kernel=3)
        self.norm = NormWithMore(2)
        self.second = conv([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], kernel=3)
        self.norm2 = NormWithMore(3)
        self.depthwise = conv([[1.0]] * 3, kernel=3, groups=3)
        self.head = conv([[1.0, 1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        return self.depthwise(self.norm2(self.second(self.norm(self.first(x)))))  # type: ignore[no-any-return]


class OwnLinear(nn.Linear):
    """A dense layer with a forward of its own, as timm has one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class DenseHead(nn.Module):
    """A conv and such a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv([[1.0]], kernel=3)
        self.last = conv([[1.0], [2.0]])
        self.fc = OwnLinear(2, 1)
        nn.init.constant_(self.fc.weight, 1.0)
        nn.init.constant_(self.fc.bias, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.last(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


class Fire(nn.Module):
    """Squeeze, and two ways to expand."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = conv([[1.0, 1.0]])
        self.left = conv([[1.0]])
        self.right = conv([[1.0], [1.0]], kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.left(x), self.right(x)], 1)


class Squeeze(Pooled):
    """A Fire module between a conv and a depthwise conv."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv([[1.0], [2.0]], kernel=3)
        self.fire = Fire()
        self.depthwise = conv([[1.0]] * 3, kernel=3, groups=3)
        self.head = conv([[1.0, 1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        return self.depthwise(self.fire(self.stem(x)))  # type: ignore[no-any-return]


class Standardised(nn.Conv2d):
    """A conv with a forward of its own: its kernels have mean 0 and it pads as its map needs it, not evenly."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (as in a conv)
        short = [-size % step for size, step in zip(input.shape[2:], self.stride, strict=True)]
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(F.pad(input, (0, short[1], 0, short[0])), weight, self.bias, self.stride, self.padding)


class Gained(Standardised):
    """And with a gain of its own for each filter."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.gain = nn.Parameter(torch.ones(self.out_channels))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (as in a conv)
        return super().forward(input) * self.gain[:, None, None]


class OwnForwards(Pooled):
    """Convs with forwards of their own among plain ones."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Standardised(1, 4, 3, 1, 1)
        self.down = Standardised(4, 4, 3, 2, 1)
        self.wide = Standardised(4, 6, 3, 1, 1)
        self.gained = Gained(6, 6, 3, 1, 1)
        self.head = nn.Conv2d(6, 2, 1)

    def body(self, x: Tensor) -> Tensor:
        return torch.relu(self.gained(self.wide(torch.relu(self.down(torch.relu(self.stem(x)))))))


class LearnedScales(Pooled):
    """Branches without a module, each scaled by an entry of one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv([[1.0], [2.0]])
        self.branches = nn.ModuleList([conv([[1.0, 0.0], [0.0, 1.0]], kernel=3) for _ in range(2)])
        self.scales = nn.Parameter(torch.tensor([0.5, 0.25]))
        self.head = conv([[1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number, branch in enumerate(self.branches):
            x = x + self.scales[number] * branch(x)
        return x


class ByKeyword(Pooled):
    """Convs called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv([[1.0], [2.0]], kernel=3)
        self.middle = conv([[1.0, 0.0], [0.0, 1.0]], kernel=3)
        self.head = conv([[1.0, 1.0]])

    def body(self, x: Tensor) -> Tensor:
        x = self.first(input=x)
        return torch.relu(self.middle(input=x)) + x
