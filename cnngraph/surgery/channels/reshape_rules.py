"""What operations that move or cut values do to labels: views, splits, slices, concatenations, sizes.

One function an operation, registered in ``RESHAPE_RULES``. It returns the labels of the result, and notes which
channels must go together so that the operation still works when some are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from cnngraph.surgery.channels import shapes
from cnngraph.surgery.channels.channel_dependencies import ChannelDependencies
from cnngraph.surgery.channels.tracked_ints import Labels, MeasuredSize, StoredSize, TrackedInt

__all__ = ["RESHAPE_RULES", "ReshapeStep", "UnknownError", "filled", "over_places", "unlabelled"]

_MISSING = object()


class UnknownError(Exception):
    """Labels cannot be followed through an operation; the message says why."""


@dataclass(frozen=True)
class ReshapeStep:
    """One such operation with the labels that enter it.

    Attributes:
        module: the module that is called, ``None`` for functions. run: does the operation itself, on the labels.
    """

    dependencies: ChannelDependencies
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

    def argument(self, name: str, position: int, default: Any = _MISSING) -> Any:
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
        return int(self.argument("dim", position, default)) % self.labels.dim()

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


def _view(step: ReshapeStep) -> Tensor:
    sizes = step.sizes("shape" if "shape" in step.kwargs else "size")
    after = step.labels.reshape([int(size) for size in sizes])
    return shapes.reshaped(step.dependencies, step.labels, after, sizes)


def _view_as(step: ReshapeStep) -> Tensor:
    other = step.argument("other", 1)
    return shapes.reshaped(
        step.dependencies, step.labels, step.labels.reshape(other.shape), _tracked_shape(step.dependencies, other)
    )


def _unflatten(step: ReshapeStep) -> Tensor:
    after: Tensor = step.run()
    parts = list(step.argument("unflattened_size" if step.module else "sizes", 2))
    axis = step.axis(1)
    sizes = [-1] * axis + parts + [-1] * (after.dim() - axis - len(parts))
    return shapes.reshaped(step.dependencies, step.labels, after, sizes)


def _expand(step: ReshapeStep) -> Tensor:
    sizes = step.sizes("size")
    labels = step.labels
    for axis, size in enumerate(labels.shape, start=len(sizes) - labels.dim()):
        if size == int(sizes[axis]):
            at = axis - len(sizes) + labels.dim()
            named = [-1 if other != at else sizes[axis] for other in range(labels.dim())]
            shapes.reshaped(step.dependencies, labels, labels, named)
    return labels.expand([int(size) for size in sizes])


def _chunk(step: ReshapeStep) -> Any:
    axis, number, labels = step.axis(2, 0), int(step.argument("chunks", 1)), step.labels
    if shapes.varies(labels, axis):
        labels = shapes.apart(step.dependencies, labels, axis, number)
    return labels.chunk(number, axis)


def _split(step: ReshapeStep) -> Any:
    named = next((name for name in step.kwargs if name.startswith("split")), "split_size")
    sizes, axis = step.argument(named, 1), step.axis(2, 0)
    labels = shapes.pieces(step.dependencies, step.labels, axis, sizes)
    return torch.split(labels, int(sizes) if isinstance(sizes, int) else [int(size) for size in sizes], axis)


def _glu(step: ReshapeStep) -> Tensor:
    """A gated half: one half of the channels times a function of the other."""
    axis = step.axis(1, -1)
    if not shapes.varies(step.labels, axis):
        raise UnknownError("it halves places")
    return shapes.apart(step.dependencies, step.labels, axis, 2).chunk(2, axis)[0]


def _channel_shuffle(step: ReshapeStep) -> Tensor:
    groups = int(step.argument("groups", 1))
    labels = shapes.apart(step.dependencies, step.labels, 1, groups)
    return torch.unflatten(labels, 1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def _pixel_shuffle(step: ReshapeStep) -> Tensor:
    """As many channels as one becomes places of go together."""
    factor = int(step.argument("upscale_factor", 1)) ** 2
    labels = step.labels
    cut = torch.unflatten(labels, 1, (-1, factor))
    cut = shapes.reshaped(step.dependencies, labels, cut, [-1, -1, factor, -1, -1])
    return over_places(cut[:, :, 0], step.node.meta["shape"])


def _unbind(step: ReshapeStep) -> Any:
    if shapes.varies(step.labels, step.axis(1, 0)):
        raise UnknownError("unbind takes them apart")
    return step.run()


def _roll(step: ReshapeStep) -> Tensor:
    axes = step.argument("dims", 2)
    for axis in [axes] if isinstance(axes, int) else axes:
        if shapes.varies(step.labels, axis % step.labels.dim()):
            raise UnknownError("roll moves them around")
    return step.labels


def _pad(step: ReshapeStep) -> Tensor:
    """Padding of places changes no channel; padding of channels adds some that belong to nobody."""
    widths = [int(width) for width in step.argument("pad", 1)]
    labels = step.labels
    if len(widths) > 4:  # more than the two sides of rows and columns
        labels = torch.nn.functional.pad(labels, [0, 0, 0, 0, *widths[4:]])
    return over_places(labels, step.node.meta["shape"])


def _getitem(step: ReshapeStep) -> Any:
    labels, index = step.args
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
            _cut(step.dependencies, labels, axis, part)
    return labels[tuple(_plain(part) for part in full)]


def _cut(dependencies: ChannelDependencies, labels: Tensor, axis: int, part: Any) -> None:
    if not isinstance(part, slice):
        raise UnknownError("an index takes one of them")
    if part.step not in (None, 1):
        raise UnknownError("a slice skips some of them")
    shapes.boundary(dependencies, labels, axis, part.start)
    shapes.boundary(dependencies, labels, axis, part.stop)


def _plain(part: Any) -> Any:
    if isinstance(part, slice):
        return slice(*(None if edge is None else int(edge) for edge in (part.start, part.stop, part.step)))
    return int(part) if isinstance(part, int) else part


def _cat(step: ReshapeStep) -> Tensor:
    parts = step.argument("tensors", 0)
    axis = int(step.kwargs["axis"] if "axis" in step.kwargs else step.argument("dim", 1, 0))
    return torch.cat(shapes.joined(step.dependencies, parts, axis), axis)


def _narrow(step: ReshapeStep) -> Tensor:
    axis, start, length = step.axis(1), step.argument("start", 2), step.argument("length", 3)
    part = step.labels.narrow(axis, int(start), int(length))
    if shapes.varies(step.labels, axis):
        shapes.boundary(step.dependencies, step.labels, axis, start)
        shapes.boundary(step.dependencies, step.labels, axis, start + length)
        if not isinstance(length, TrackedInt):  # unlike a slice it takes no less
            step.dependencies.pin(shapes.flat(part), "their number is written in the code")
    return part


def _matmul(step: ReshapeStep) -> Tensor:
    """A product that sums over places: each row, or each column, is one channel's still."""
    one, other = step.labels, step.argument("mat2" if "mat2" in step.kwargs else "other", 1)
    if not isinstance(other, Tensor) or min(one.dim(), other.dim()) < 2:
        raise UnknownError("a product mixes them")
    if shapes.varies(one, one.dim() - 1) or shapes.varies(other, other.dim() - 2):
        raise UnknownError("a product sums over them")
    rows, columns = shapes.varies(one, one.dim() - 2), shapes.varies(other, other.dim() - 1)
    if rows == columns:
        raise UnknownError("in a product each of them meets all others")
    kept, scale, summed = (one, other, -1) if rows else (other, one, -2)
    step.dependencies.pin(shapes.flat(scale), "they scale whole maps")
    kept = kept.narrow(summed, 0, 1)
    for axis in range(-kept.dim(), -2):  # a factor of its own for each of several channels
        if shapes.varies(kept, axis + kept.dim()) and -axis <= scale.dim() and scale.shape[axis] > 1:
            raise UnknownError("a product has a factor for each of them")
    return kept.expand(step.node.meta["shape"])


def _stack(step: ReshapeStep) -> Any:
    return torch.stack(shapes.stacked(step.dependencies, step.argument("tensors", 0)), int(step.argument("dim", 1, 0)))


def filled(dependencies: ChannelDependencies, sizes: Sequence[int]) -> Tensor:
    """A tensor of one value, of ``sizes``: its channels are those whose number one of the sizes is."""
    row: Labels | None = None
    place = 0
    for axis, size in enumerate(sizes):
        if not isinstance(size, TrackedInt):
            continue
        source = size.source
        if row is None and isinstance(source, StoredSize):
            row, place = dependencies.new_labels(int(size)), axis
            dependencies.note_size(source, row, size.function)
        elif row is None and isinstance(source, MeasuredSize) and size.is_source and len(source.labels) == int(size):
            row, place = source.labels, axis
        else:
            size.mark_used()
    if row is None:
        return unlabelled(sizes)
    line = [-1 if axis == place else 1 for axis in range(len(sizes))]
    return torch.from_numpy(row).reshape(line).expand([int(size) for size in sizes])


def _filled(step: ReshapeStep) -> Tensor:
    return filled(step.dependencies, step.sizes("size"))


def _getattr(step: ReshapeStep) -> Any:
    return _tracked_shape(step.dependencies, step.labels) if step.args[1] == "shape" else step.run()


def _size(step: ReshapeStep) -> Any:
    axis = step.argument("dim", 1, None)
    return (
        _tracked_shape(step.dependencies, step.labels)
        if axis is None
        else _tracked_shape(step.dependencies, step.labels)[axis]
    )


def _tracked_shape(dependencies: ChannelDependencies, labels: Tensor) -> tuple[int, ...]:
    """The shape, in which the numbers of channels remember whose they are."""
    found: list[int] = []
    for axis, size in enumerate(labels.shape):
        if shapes.varies(labels, axis):
            row = shapes.compact(labels, (axis,)).movedim(axis, 0).flatten(1)[:, 0].numpy()
            dependencies.measured.append(MeasuredSize(row.copy()))
            size = TrackedInt(size, dependencies.measured[-1])
        found.append(size)
    return tuple(found)


def _numel(step: ReshapeStep) -> Any:
    if any(shapes.varies(step.labels, axis) for axis in range(step.labels.dim())):
        raise UnknownError("the code reckons with their number")
    return step.run()


def _run(step: ReshapeStep) -> Any:
    return step.run()


# By the spelling of ``cnngraph.network.kinds.step_of``.
RESHAPE_RULES: dict[str, Callable[[ReshapeStep], Any]] = {
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
