"""Labels through the operations that name sizes, places or parts: views, splits, slices, concatenations, sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnngraph.surgery.channels import shapes
from cnngraph.surgery.channels.counts import Count, Labels, Measured, Stored
from cnngraph.surgery.channels.ledger import Ledger

__all__ = ["MOVES", "Move", "UnknownError", "filled", "over_places", "unlabelled"]

_MISSING = object()


class UnknownError(Exception):
    """Why labels end at a step."""


@dataclass(frozen=True)
class Move:
    """One such step with the labels that enter it.

    Attributes:
        module: the module that is called, ``None`` for functions. run: does the step itself, on the labels.
    """

    ledger: Ledger
    node: fx.Node
    module: nn.Module | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run: Callable[[], Any]

    @property
    def labels(self) -> Tensor:
        """The first operand."""
        found = self.args[0] if self.args else self.kwargs["input"]
        if not isinstance(found, Tensor):
            raise UnknownError("they come in several values")
        return found

    def given(self, name: str, position: int, default: Any = _MISSING) -> Any:
        """An argument by name or position; of a module, its attribute."""
        if self.module is not None:
            return getattr(self.module, name)
        if name in self.kwargs:
            return self.kwargs[name]
        if position < len(self.args):
            return self.args[position]
        if default is _MISSING:
            raise UnknownError(f"its argument {name} is not given")
        return default

    def axis(self, position: int, default: Any = _MISSING) -> int:
        """The argument ``dim``, counted from the front."""
        return int(self.given("dim", position, default)) % self.labels.dim()

    def sizes(self, name: str) -> list[int]:
        """Sizes that are given as one sequence or one by one."""
        given = (self.kwargs[name],) if name in self.kwargs else self.args[1:]
        sizes = list(given[0]) if len(given) == 1 and isinstance(given[0], tuple | list) else list(given)
        if not all(isinstance(size, int) for size in sizes):
            raise UnknownError("a view by something else than sizes")
        return sizes


def unlabelled(shape: Sequence[int]) -> Tensor:
    """A value that belongs to no channel."""
    return torch.zeros((), dtype=torch.int64).expand(tuple(shape))


def over_places(labels: Tensor, shape: Sequence[int]) -> Tensor:
    """The result, of ``shape``, of a step that mixes rows and columns alone."""
    if labels.dim() != len(shape) or len(shape) < 3 or tuple(labels.shape[:2]) != tuple(shape[:2]):
        raise UnknownError("a step over places changes their number")
    for axis in range(2, len(shape)):
        if shapes.varies(labels, axis):
            raise UnknownError("they lie where places are expected")
        labels = labels.narrow(axis, 0, 1)
    return labels.expand(tuple(shape))


def _view(move: Move) -> Tensor:
    sizes = move.sizes("shape" if "shape" in move.kwargs else "size")
    after = move.labels.reshape([int(size) for size in sizes])
    return shapes.reshaped(move.ledger, move.labels, after, sizes)


def _view_as(move: Move) -> Tensor:
    other = move.given("other", 1)
    return shapes.reshaped(move.ledger, move.labels, move.labels.reshape(other.shape), _counts(move.ledger, other))


def _unflatten(move: Move) -> Tensor:
    after: Tensor = move.run()
    parts = list(move.given("unflattened_size" if move.module else "sizes", 2))
    axis = move.axis(1)
    sizes = [-1] * axis + parts + [-1] * (after.dim() - axis - len(parts))
    return shapes.reshaped(move.ledger, move.labels, after, sizes)


def _expand(move: Move) -> Tensor:
    sizes = move.sizes("size")
    labels = move.labels
    for axis, size in enumerate(labels.shape, start=len(sizes) - labels.dim()):
        if size == int(sizes[axis]):
            at = axis - len(sizes) + labels.dim()
            named = [-1 if other != at else sizes[axis] for other in range(labels.dim())]
            shapes.reshaped(move.ledger, labels, labels, named)
    return labels.expand([int(size) for size in sizes])


def _chunk(move: Move) -> Any:
    axis, number, labels = move.axis(2, 0), int(move.given("chunks", 1)), move.labels
    if shapes.varies(labels, axis):
        labels = shapes.apart(move.ledger, labels, axis, number)
    return labels.chunk(number, axis)


def _split(move: Move) -> Any:
    named = next((name for name in move.kwargs if name.startswith("split")), "split_size")
    sizes, axis = move.given(named, 1), move.axis(2, 0)
    labels = shapes.pieces(move.ledger, move.labels, axis, sizes)
    return torch.split(labels, int(sizes) if isinstance(sizes, int) else [int(size) for size in sizes], axis)


def _glu(move: Move) -> Tensor:
    """A gated half: one half of the channels times a function of the other."""
    axis = move.axis(1, -1)
    if not shapes.varies(move.labels, axis):
        raise UnknownError("it halves places")
    return shapes.apart(move.ledger, move.labels, axis, 2).chunk(2, axis)[0]


def _channel_shuffle(move: Move) -> Tensor:
    groups = int(move.given("groups", 1))
    labels = shapes.apart(move.ledger, move.labels, 1, groups)
    return torch.unflatten(labels, 1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _pixel_shuffle(move: Move) -> Tensor:
    """As many channels as one becomes places of go together."""
    factor = int(move.given("upscale_factor", 1)) ** 2
    labels = move.labels
    cut = torch.unflatten(labels, 1, (-1, factor))
    cut = shapes.reshaped(move.ledger, labels, cut, [-1, -1, factor, -1, -1])
    return over_places(cut[:, :, 0], move.node.meta["shape"])


def _unbind(move: Move) -> Any:
    if shapes.varies(move.labels, move.axis(1, 0)):
        raise UnknownError("unbind takes them apart")
    return move.run()


def _roll(move: Move) -> Tensor:
    axes = move.given("dims", 2)
    for axis in [axes] if isinstance(axes, int) else axes:
        if shapes.varies(move.labels, axis % move.labels.dim()):
            raise UnknownError("roll moves them around")
    return move.labels


def _pad(move: Move) -> Tensor:
    """Padding of places changes no channel; padding of channels adds some that belong to nobody."""
    widths = [int(width) for width in move.given("pad", 1)]
    labels = move.labels
    if len(widths) > 4:  # more than the two sides of rows and columns
        labels = torch.nn.functional.pad(labels, [0, 0, 0, 0, *widths[4:]])
    return over_places(labels, move.node.meta["shape"])


def _getitem(move: Move) -> Any:
    labels, index = move.args
    if not isinstance(labels, Tensor):
        return labels[index]
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
        raise UnknownError("an index takes them one by one")
    missing = labels.dim() - sum(part is not None and part is not Ellipsis for part in parts)
    where = next((place for place, part in enumerate(parts) if part is Ellipsis), len(parts))
    full = [*parts[:where], *[slice(None)] * missing, *parts[where + 1 :]]
    for axis, part in enumerate(part for part in full if part is not None):
        if shapes.varies(labels, axis):
            _cut(move.ledger, labels, axis, part)
    return labels[tuple(_plain(part) for part in full)]


def _cut(ledger: Ledger, labels: Tensor, axis: int, part: Any) -> None:
    if not isinstance(part, slice):
        raise UnknownError("an index takes one of them")
    if part.step not in (None, 1):
        raise UnknownError("a slice skips some of them")
    shapes.boundary(ledger, labels, axis, part.start)
    shapes.boundary(ledger, labels, axis, part.stop)


def _plain(part: Any) -> Any:
    if isinstance(part, slice):
        return slice(*(None if edge is None else int(edge) for edge in (part.start, part.stop, part.step)))
    return int(part) if isinstance(part, int) else part


def _cat(move: Move) -> Tensor:
    parts = move.given("tensors", 0)
    axis = int(move.kwargs["axis"] if "axis" in move.kwargs else move.given("dim", 1, 0))
    return torch.cat(shapes.joined(move.ledger, parts, axis), axis)


def _narrow(move: Move) -> Tensor:
    axis, start, length = move.axis(1), move.given("start", 2), move.given("length", 3)
    part = move.labels.narrow(axis, int(start), int(length))
    if shapes.varies(move.labels, axis):
        shapes.boundary(move.ledger, move.labels, axis, start)
        shapes.boundary(move.ledger, move.labels, axis, start + length)
        if not isinstance(length, Count):  # unlike a slice it takes no less
            move.ledger.fix(shapes.flat(part), "their number is written in the code")
    return part


def _matmul(move: Move) -> Tensor:
    """A product that sums over places: each row, or each column, is one channel's still."""
    one, other = move.labels, move.given("mat2" if "mat2" in move.kwargs else "other", 1)
    if not isinstance(other, Tensor) or min(one.dim(), other.dim()) < 2:
        raise UnknownError("a product mixes them")
    if shapes.varies(one, one.dim() - 1) or shapes.varies(other, other.dim() - 2):
        raise UnknownError("a product sums over them")
    rows, columns = shapes.varies(one, one.dim() - 2), shapes.varies(other, other.dim() - 1)
    if rows == columns:
        raise UnknownError("in a product each of them meets all others")
    kept, scale, summed = (one, other, -1) if rows else (other, one, -2)
    move.ledger.fix(shapes.flat(scale), "they scale whole maps")
    kept = kept.narrow(summed, 0, 1)
    for axis in range(-kept.dim(), -2):  # a factor of its own for each of several channels
        if shapes.varies(kept, axis + kept.dim()) and -axis <= scale.dim() and scale.shape[axis] > 1:
            raise UnknownError("a product has a factor for each of them")
    return kept.expand(move.node.meta["shape"])


def _stack(move: Move) -> Any:
    return torch.stack(shapes.stacked(move.ledger, move.given("tensors", 0)), int(move.given("dim", 1, 0)))


def filled(ledger: Ledger, sizes: Sequence[int]) -> Tensor:
    """A tensor of one value, of ``sizes``: its channels are those whose number one of the sizes is."""
    row: Labels | None = None
    place = 0
    for axis, size in enumerate(sizes):
        if not isinstance(size, Count):
            continue
        source = size.source
        if row is None and isinstance(source, Stored):
            row, place = ledger.fresh(int(size)), axis
            ledger.sized(source, row, size.function)
        elif row is None and isinstance(source, Measured) and size.is_source and len(source.labels) == int(size):
            row, place = source.labels, axis
        else:
            size.spend()
    if row is None:
        return unlabelled(sizes)
    line = [-1 if axis == place else 1 for axis in range(len(sizes))]
    return torch.from_numpy(row).reshape(line).expand([int(size) for size in sizes])


def _filled(move: Move) -> Tensor:
    return filled(move.ledger, move.sizes("size"))


def _getattr(move: Move) -> Any:
    return _counts(move.ledger, move.labels) if move.args[1] == "shape" else move.run()


def _size(move: Move) -> Any:
    axis = move.given("dim", 1, None)
    return _counts(move.ledger, move.labels) if axis is None else _counts(move.ledger, move.labels)[axis]


def _counts(ledger: Ledger, labels: Tensor) -> tuple[int, ...]:
    """The shape, in which the numbers of channels remember whose they are."""
    found: list[int] = []
    for axis, size in enumerate(labels.shape):
        if shapes.varies(labels, axis):
            row = shapes.compact(labels, (axis,)).movedim(axis, 0).flatten(1)[:, 0].numpy()
            ledger.measured.append(Measured(row.copy()))
            size = Count(size, ledger.measured[-1])
        found.append(size)
    return tuple(found)


def _numel(move: Move) -> Any:
    if any(shapes.varies(move.labels, axis) for axis in range(move.labels.dim())):
        raise UnknownError("the code reckons with their number")
    return move.run()


def _run(move: Move) -> Any:
    return move.run()


# By the spelling of ``cnngraph.network.kinds.step_of``.
MOVES: dict[str, Callable[[Move], Any]] = {
    **dict.fromkeys(
        "flatten permute transpose swapaxes swapdims movedim moveaxis t unsqueeze squeeze flip expandas repeat tile "  # noqa: SIM905
        "repeatinterleave pixelunshuffle ravel dim ndimension".split(),
        _run,
    ),
    **dict.fromkeys(("view", "reshape"), _view),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    **dict.fromkeys(("viewas", "reshapeas"), _view_as),
    **dict.fromkeys(("matmul", "bmm"), _matmul),
    **dict.fromkeys(("newzeros", "newones"), _filled),
    "narrow": _narrow,
    "numel": _numel,
    "unflatten": _unflatten,
    "expand": _expand,
    "chunk": _chunk,
    "split": _split,
    "glu": _glu,
    "channelshuffle": _channel_shuffle,
    "nativechannelshuffle": _channel_shuffle,
    "pixelshuffle": _pixel_shuffle,
    "unbind": _unbind,
    "roll": _roll,
    "pad": _pad,
    "getitem": _getitem,
    "stack": _stack,
    "getattr": _getattr,
    "size": _size,
}
