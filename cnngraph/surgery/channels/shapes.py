"""Labels through operations that move or cut values: what must go together so that the operation works afterwards.

The operations themselves are run on the labels. What remains is to see that what is left is rectangular: where an axis
of channels is cut into parts, the parts must go on having the sizes that the code expects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cnngraph.surgery.channels.channel_dependencies import ChannelDependencies
from cnngraph.surgery.channels.tracked_ints import Labels, MeasuredSize, StoredSize, TrackedInt

__all__ = ["along", "apart", "boundary", "compact", "flat", "joined", "pieces", "reshaped", "stacked", "varies"]

_WRITTEN = "their number is written in the code"
_UNEVEN = "they are cut into parts that could not stay as they are"


def compact(labels: Tensor, keep: Sequence[int] = ()) -> Tensor:
    """A view of ``labels`` with one entry along each axis that is expanded (but for the axes ``keep``)."""
    for axis, stride in enumerate(labels.stride()):
        if stride == 0 and labels.shape[axis] > 1 and axis not in keep:
            labels = labels.narrow(axis, 0, 1)
    return labels


def flat(labels: Tensor) -> Labels:
    """All labels that occur."""
    return np.unique(compact(labels).numpy()).astype(np.int64)


def along(labels: Tensor, axis: int) -> Labels | None:
    """The labels along ``axis`` if they are the same at every place of the other axes, else ``None``."""
    rows = compact(labels, (axis % labels.dim(),)).movedim(axis, 0).flatten(1)
    first = rows[:, :1]
    return first.reshape(-1).numpy().copy() if bool((rows == first).all()) else None


def varies(labels: Tensor, axis: int) -> bool:
    """Whether labels differ along ``axis``."""
    if labels.stride(axis) == 0 or labels.shape[axis] == 1:
        return False
    labels = compact(labels)
    return not bool((labels == labels.narrow(axis, 0, 1)).all())


def apart(dependencies: ChannelDependencies, labels: Tensor, axis: int, parts: int) -> Tensor:
    """Couple the equal places of ``parts`` equal parts of ``axis``; pin all where it has no such parts.

    Returns the labels, those of the first part in all parts: what is coupled may as well have one label.
    """
    size = labels.shape[axis]
    if parts < 1 or size % parts:
        dependencies.pin(flat(labels), _UNEVEN)
        return labels
    cut = torch.unflatten(compact(labels, (axis,)), axis, (parts, size // parts))
    first = cut.narrow(axis, 0, 1)
    dependencies.couple(cut.numpy(), first.numpy(), _UNEVEN)
    return first.expand(cut.shape).flatten(axis, axis + 1).expand(labels.shape)


def reshaped(dependencies: ChannelDependencies, before: Tensor, after: Tensor, sizes: Sequence[int]) -> Tensor:
    """See that a view of ``before`` as ``sizes`` gives what is left of ``after`` once channels are gone.

    Returns the labels after it.
    """
    found = after
    for axes in _factors(tuple(before.shape), tuple(after.shape)):
        axes = [axis for axis in axes if after.shape[axis] > 1]
        if not any(varies(after, axis) for axis in axes):
            continue
        moving = _moving(axes, sizes)
        if moving is None:
            dependencies.pin(flat(after), _WRITTEN)
            continue
        for axis in axes:
            if axis != moving:
                cut = compact(found, (axis, moving))
                dependencies.couple(cut.numpy(), cut.narrow(axis, 0, 1).numpy(), _UNEVEN)
                found = cut.narrow(axis, 0, 1).expand(found.shape)
        size = sizes[moving]
        if isinstance(size, TrackedInt) and isinstance(size.source, StoredSize):
            _follow(dependencies, found, moving, size)
    for axis, size in enumerate(sizes):
        if isinstance(size, TrackedInt):
            _agree(dependencies, found, axis, size)
    return found


def _agree(dependencies: ChannelDependencies, labels: Tensor, axis: int, size: TrackedInt) -> None:
    """See that the labels along ``axis`` stay as many as those whose number ``size`` is."""
    if not varies(labels, axis):
        size.mark_used()
    elif isinstance(size.source, MeasuredSize) and not np.isin(flat(labels), size.source.labels).any():
        if size.is_source:
            _couple_rows(dependencies, labels, axis, size.source.labels)
        else:
            size.mark_used()


def _moving(axes: list[int], sizes: Sequence[int]) -> int | None:
    """The one axis that can shrink: its size is left to torch or read off a tensor, else the largest stored one."""
    free = [axis for axis in axes if int(sizes[axis]) == -1 or _is_measured(sizes[axis])]
    stored = [axis for axis in axes if isinstance(sizes[axis], TrackedInt) and axis not in free]
    if free:
        return free[0] if len(free) == 1 else None
    return max(stored, key=lambda axis: int(sizes[axis]), default=None)


def _is_measured(size: int) -> bool:
    """Whether a size was read off an axis whose channels can go."""
    return (
        isinstance(size, TrackedInt)
        and isinstance(size.source, MeasuredSize)
        and len(np.unique(size.source.labels)) > 1
    )


def _follow(dependencies: ChannelDependencies, labels: Tensor, axis: int, size: TrackedInt) -> None:
    """Let the stored number behind ``size`` follow the labels along ``axis``."""
    assert isinstance(size.source, StoredSize)
    row = compact(labels, (axis,)).movedim(axis, 0).flatten(1)[:, 0].numpy().copy()
    dependencies.note_size(size.source, row, size.function)


def _factors(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[list[int]]:
    """Groups of axes of ``after`` that hold what one group of axes of ``before`` held, as short as they can be."""
    i = j = 0
    while j < len(after):
        group, size, source = [j], after[j], before[i] if i < len(before) else 1
        i, j = i + 1, j + 1
        while size != source:
            if size < source:
                group.append(j)
                size, j = size * after[j], j + 1
            else:
                source, i = source * before[i], i + 1
        # Axes of length 1 in the middle belong to nobody.
        while i < len(before) and before[i] == 1 and (j >= len(after) or after[j] != 1):
            i += 1
        yield group
    assert prod(before) == prod(after)


def pieces(dependencies: ChannelDependencies, labels: Tensor, axis: int, size: Any) -> Tensor:
    """See to a split of ``axis`` into parts of one size (a number) or of given sizes; returns the labels to split."""
    total = labels.shape[axis]
    if not varies(labels, axis) or (isinstance(size, int) and size >= total):
        return labels
    if isinstance(size, int):
        if not isinstance(size, TrackedInt):
            dependencies.pin(flat(labels), _WRITTEN)
            return labels
        labels = apart(dependencies, labels, axis, total // size if total % size == 0 else 0)
        if isinstance(size.source, StoredSize) and total % size == 0:
            _follow(dependencies, labels.narrow(axis, 0, int(size)), axis, size)
        return labels
    start = 0
    for part in size:
        piece = labels.narrow(axis, start, int(part))
        start += int(part)
        if not isinstance(part, TrackedInt):
            dependencies.pin(flat(piece), _WRITTEN)
        elif isinstance(part.source, StoredSize):
            _follow(dependencies, piece, axis, part)
        elif part.is_source and len(part.source.labels) == int(part):
            _couple_rows(dependencies, piece, axis, part.source.labels)
        else:
            apart(dependencies, labels, axis, total // gcd(total, *(int(each) for each in size)))
    return labels


def _couple_rows(dependencies: ChannelDependencies, labels: Tensor, axis: int, other: Labels) -> None:
    rows = compact(labels, (axis,)).movedim(axis, 0).flatten(1).numpy()
    dependencies.couple(rows, other[:, None])


def boundary(dependencies: ChannelDependencies, labels: Tensor, axis: int, edge: Any) -> None:
    """See to a slice that begins or ends at ``edge`` of ``axis``."""
    total = labels.shape[axis]
    if edge is None or int(edge) == 0 or int(edge) > total or not varies(labels, axis):
        return
    value = int(edge)
    first = labels.narrow(axis, 0, value if value > 0 else max(total + value, 0))
    if value < 0:
        dependencies.pin(flat(labels.narrow(axis, first.shape[axis], total - first.shape[axis])), _WRITTEN)
    elif not isinstance(edge, TrackedInt):
        if value < total:
            dependencies.pin(flat(first), _WRITTEN)
    elif isinstance(edge.source, StoredSize):
        _follow(dependencies, first, axis, edge)
    elif not _is_measured(edge):
        dependencies.pin(flat(first), _WRITTEN)
    elif edge.is_source and len(edge.source.labels) == value:
        _couple_rows(dependencies, first, axis, edge.source.labels)
    else:
        apart(dependencies, labels, axis, total // gcd(total, value))


def joined(dependencies: ChannelDependencies, parts: Sequence[Tensor], axis: int) -> list[Tensor]:
    """Couple what a concatenation along places or images demands to be equal; returns the parts to concatenate."""
    axis %= parts[0].dim()
    others = [other for other in range(parts[0].dim()) if other != axis]
    if not any(varies(part, other) for part in parts for other in others):
        return list(parts)
    first = compact(parts[0].narrow(axis, 0, 1))
    for part in parts:
        cut = compact(part)
        dependencies.couple(cut.numpy(), first.numpy())
    return [first.expand(part.shape) for part in parts]


def stacked(dependencies: ChannelDependencies, parts: Sequence[Tensor]) -> list[Tensor]:
    """Couple what a stack demands to be equal; returns the parts to stack."""
    for part in parts[1:]:
        dependencies.couple(compact(parts[0]).numpy(), compact(part).numpy())
    return [parts[0] for _ in parts]
