"""What stands for a whole block: one conv, with the norm and the activation that the block's last layer has."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from torch import Tensor, nn

from cnngraph.randomness import seeded

__all__ = ["ConvSpec", "NewBlock", "NewLayer", "OneLayer", "Piece", "make_block", "make_conv"]


@dataclass(frozen=True)
class ConvSpec:
    """The conv: ``inputs`` and ``outputs`` are channels, pairs are (rows, columns)."""

    inputs: int
    outputs: int
    kernel: int
    stride: tuple[int, int]
    padding: tuple[int, int]
    bias: bool

    @property
    def parameters(self) -> int:
        """How many numbers it holds.

        >>> ConvSpec(3, 64, 3, (1, 1), (1, 1), bias=True).parameters
        1792
        """
        return self.outputs * (self.inputs * self.kernel**2 + self.bias)


@dataclass(frozen=True)
class NewLayer:
    """Detail of an edit: the conv stands at its path."""

    conv: ConvSpec


@dataclass(frozen=True, eq=False)
class Piece:
    """A step of the module that takes the place of a block: ``path`` below the block; ``module``: ``None`` for the
    block's own of that path, else what stands there (a conv is made of its spec)."""

    path: str
    module: nn.Module | ConvSpec | None = None

    @property
    def conv(self) -> ConvSpec:
        """The conv that is to be made."""
        assert isinstance(self.module, ConvSpec)
        return self.module


@dataclass(frozen=True, eq=False)
class NewBlock:
    """Detail of an edit: a module that runs ``branch``, and, where there is a ``shortcut``, adds what that gives (no
    step: what the block reads); then ``tail``."""

    branch: tuple[Piece, ...]
    shortcut: tuple[Piece, ...] | None = None
    tail: tuple[Piece, ...] = ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All steps."""
        return (*self.branch, *(self.shortcut or ()), *self.tail)

    @property
    def kept(self) -> frozenset[str]:
        """Paths, below the block, of its own modules that stay."""
        return frozenset(piece.path for piece in self.pieces if piece.module is None)


class OneLayer(nn.Module):
    """A block whose main way is one conv: ``tail(branch(x) + shortcut(x))``, or ``branch(x)`` without a shortcut."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        branch: Sequence[str],
        shortcut: Sequence[str] | None,
        tail: Sequence[str],
    ) -> None:
        """``modules``: by path; the others are paths of it, in the order in which they are called."""
        super().__init__()
        for path, module in modules.items():
            home: nn.Module = self
            *around, name = path.split(".")
            for part in around:
                if part not in home._modules:
                    home.add_module(part, nn.Sequential())
                home = home.get_submodule(part)
            home.add_module(name, module)
        self._branch_paths, self._tail_paths = tuple(branch), tuple(tail)
        self._side_paths = None if shortcut is None else tuple(shortcut)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (named as in a conv, for calls by keyword)
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        x = self._run(self._branch_paths, input)
        if self._side_paths is not None:
            x = x + self._run(self._side_paths, input)
        return self._run(self._tail_paths, x)

    def _run(self, paths: tuple[str, ...], x: Tensor) -> Tensor:
        for path in paths:
            x = self.get_submodule(path)(x)
        return x

    def extra_repr(self) -> str:
        """What follows what, for people."""
        side, tail = self._side_paths, self._tail_paths
        added = "" if side is None else f", added to {' '.join(side) or 'what it reads'}"
        return f"{' '.join(self._branch_paths)}{added}" + (f", then {' '.join(tail)}" if tail else "")


def make_conv(spec: ConvSpec, like: Tensor, seed: int) -> nn.Conv2d:
    """The conv with random weights by ``seed``, as He et al. 2015 (``fan_in``, bias 0); type and device of ``like``."""
    with seeded(seed):
        conv = nn.Conv2d(spec.inputs, spec.outputs, spec.kernel, spec.stride, spec.padding, bias=spec.bias)
        nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    return conv.to(like.device, like.dtype)


def make_block(block: nn.Module, detail: NewBlock, path: str, seed: int) -> OneLayer:
    """The module that takes the place of ``block``, which stands at ``path``; what it keeps is copied."""
    weight = next(block.parameters())
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for piece in detail.pieces:
        if isinstance(piece.module, ConvSpec):
            modules[piece.path] = make_conv(piece.module, weight, seed + crc32(f"{path}.{piece.path}".encode()))
        elif piece.module is not None:
            modules[piece.path] = copy.deepcopy(piece.module).to(weight.device, weight.dtype)
        elif piece.path not in modules:
            modules[piece.path] = copy.deepcopy(block.get_submodule(piece.path))
    shortcut = None if detail.shortcut is None else [piece.path for piece in detail.shortcut]
    made = OneLayer(modules, [p.path for p in detail.branch], shortcut, [p.path for p in detail.tail])
    if detail.shortcut == ():
        for module in made.modules():  # what the block reads is added later: nobody may overwrite it
            if hasattr(module, "inplace"):
                setattr(module, "inplace", False)  # noqa: B010 (mypy sees no such attribute)
    return made
