"""What a channel tracer finds out about the channels of a net: which are one, which stay, and which weights they have.

A *label* is a whole number for one channel of one layer (or one element of a parameter); 0 is no channel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cnngraph.surgery.channels.kernels import Kernel
from cnngraph.surgery.channels.tracked_ints import Labels, MeasuredSize, StoredSize

__all__ = ["Axis", "ChannelDependencies", "Size"]


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of the tensor ``owner.name`` and the labels along it; ``reads``: of what the layer reads, not gives."""

    owner: str
    name: str
    axis: int
    labels: Labels
    reads: bool = False


@dataclass(frozen=True, eq=False)
class Size:
    """A whole number that ``labels`` decide: for its new value v, ``function(v)`` is how many of them are left."""

    where: StoredSize
    labels: Labels
    function: Callable[[int], int]


@dataclass
class ChannelDependencies:
    """The findings so far.

    Attributes:
        outputs, inputs: by layer, the labels of the channels that it gives and reads.
        over_places: dense layers that were seen to run over the places of a map.
        convs: layers that are convolutions. norms: layers that scale channels.
        axes: by (tensor, axis). sizes: numbers to keep true.
        across: weights of norms that reckon over several channels: path of the tensor.
        described: (index in timm's ``feature_info``, labels of the channels that it counts).
        kernels: of layers that make their weights, ``None`` where their filters do not stand apart.
        measured: sizes that the code read off tensors. reckoned: modules whose parameters it uses as numbers.
        count: of labels so far, with 0.
    """

    outputs: dict[str, Labels] = field(default_factory=dict)
    inputs: dict[str, Labels] = field(default_factory=dict)
    convs: set[str] = field(default_factory=set)
    over_places: set[str] = field(default_factory=set)
    norms: dict[str, Labels] = field(default_factory=dict)
    axes: dict[tuple[str, str, int], Axis] = field(default_factory=dict)
    sizes: dict[StoredSize, list[Size]] = field(default_factory=lambda: defaultdict(list))
    across: set[tuple[str, str]] = field(default_factory=set)
    described: list[tuple[int, Labels]] = field(default_factory=list)
    kernels: dict[str, Kernel | None] = field(default_factory=dict)
    measured: list[MeasuredSize] = field(default_factory=list)
    reckoned: set[str] = field(default_factory=set)
    count: int = 1
    _couplings: list[tuple[Labels, Labels]] = field(default_factory=list)
    _pins: list[tuple[Labels, str]] = field(default_factory=list)

    @property
    def known_kernels(self) -> frozenset[str]:
        """Layers that make their weights and whose filters stand apart."""
        return frozenset(path for path, kernel in self.kernels.items() if kernel is not None)

    def new_labels(self, number: int) -> Labels:
        """New labels."""
        self.count += number
        return np.arange(self.count - number, self.count, dtype=np.int64)

    def outputs_of(self, layer: str, number: int) -> Labels:
        """The labels of the outputs of ``layer``, the same at every call."""
        if layer not in self.outputs:
            self.outputs[layer] = self.new_labels(number)
        return self.outputs[layer]

    def note_inputs(self, layer: str, labels: Labels) -> None:
        """What ``layer`` reads; a second call ties what it reads to what the first read."""
        if layer in self.inputs:
            self.couple(self.inputs[layer], labels, f"{layer} reads them in another call")
        else:
            self.inputs[layer] = labels

    def note_axis(self, owner: str, name: str, axis: int, labels: Labels, *, reads: bool = False) -> None:
        """The tensor ``owner.name`` loses along ``axis`` what goes of ``labels``."""
        known = self.axes.setdefault((owner, name, axis), Axis(owner, name, axis, labels, reads))
        if known.labels is not labels:
            self.couple(known.labels, labels, f"{owner} has other channels in another call")

    def note_size(self, where: StoredSize, labels: Labels, function: Callable[[int], int] | None = None) -> None:
        """The number at ``where`` follows ``labels``; two uses of one number by as many labels tie them."""
        known = self.sizes[where]
        same = next((size for size in known if len(size.labels) == len(labels)), None)
        if same is None:
            known.append(Size(where, labels, function or _same))
        elif same.labels is not labels:
            self.couple(same.labels, labels, f"{where.owner}.{where.attribute} counts others too")

    def couple(self, one: Labels, other: Labels, reason: str = "they meet values that belong to no channel") -> None:
        """Channels that go together. ``reason``: why one fixes the other where that is no channel (label 0)."""
        one, other = (part.reshape(-1) for part in np.broadcast_arrays(one, other))
        different = one != other
        one, other = one[different], other[different]
        single = (one == 0) | (other == 0)
        if single.any():
            self.pin(np.maximum(one, other)[single], reason)
        if not single.all():
            self._couplings.append((one[~single], other[~single]))

    def pin(self, labels: Labels, reason: str) -> None:
        """Channels that stay, and why."""
        found = np.unique(labels)
        found = found[found > 0]
        if len(found):
            self._pins.append((found, reason))

    def pin_used_numbers(self) -> None:
        """Fix the channels whose number the code reckons with."""
        stored = [size.labels for sizes in self.sizes.values() for size in sizes if size.where.used]
        for labels in (*stored, *(read.labels for read in self.measured if read.used)):
            self.pin(labels, "the code reckons with their number")
        for layer in sorted(self.reckoned & self.outputs.keys()):  # their size or mean would change
            self.pin(self.outputs[layer], f"the code reckons with the weights of {layer}")
            self.pin(self.inputs[layer], f"the code reckons with the weights of {layer}")

    def classes(self) -> npt.NDArray[np.int64]:
        """By label, the number of the class of labels that go together; 0 is the class of label 0 alone."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pairs = [np.concatenate(side) for side in zip(*self._couplings, strict=True)] or [np.zeros(0, np.int64)] * 2
        edges = coo_array((np.ones(len(pairs[0]), dtype=bool), (pairs[0], pairs[1])), shape=(self.count, self.count))
        found: npt.NDArray[np.int64] = connected_components(edges, directed=False)[1].astype(np.int64)
        return found

    def reasons(self, classes: npt.NDArray[np.int64]) -> dict[int, str]:
        """By class that is fixed, the first reason why."""
        found: dict[int, str] = {}
        for labels, reason in self._pins:
            for number in np.unique(classes[labels]).tolist():
                found.setdefault(number, reason)
        return found


def _same(value: int) -> int:
    return value
