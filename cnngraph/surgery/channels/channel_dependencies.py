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
    """The axis ``axis`` of the tensor ``owner.name``, and the labels of the channels along it.

    ``reads``: the channels are inputs of the layer, not its outputs.
    """

    owner: str
    name: str
    axis: int
    labels: Labels
    reads: bool = False


@dataclass(frozen=True, eq=False)
class Size:
    """A stored number that follows the channels ``labels``: its new value v is one for which
    ``function(v)`` is how many of them are left.
    """

    where: StoredSize
    labels: Labels
    function: Callable[[int], int]


@dataclass
class ChannelDependencies:
    """Everything that was found so far about which channels depend on each other.

    Attributes:
        outputs, inputs: by layer, the labels of the channels that it gives and reads.
        over_places: dense layers that are applied at each place of a map.
        convs: layers that are convolutions. norms: layers that scale channels.
        axes: by (owner, tensor, axis), the labels along it. sizes: stored numbers that must follow their channels.
        across: weights of norms that average over several channels, as (path, tensor).
        described: (index in timm's ``feature_info``, labels of the channels that it counts).
        kernels: of layers that make their weights, ``None`` where their filters do not stand apart.
        measured: sizes that the code read off tensors. reckoned: modules whose weights the code itself computes with.
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
        """Return the labels of the outputs of ``layer``: new ones at its first call, the same at every later one."""
        if layer not in self.outputs:
            self.outputs[layer] = self.new_labels(number)
        return self.outputs[layer]

    def note_inputs(self, layer: str, labels: Labels) -> None:
        """Note which channels ``layer`` reads. Those of a second call are coupled with those of the first."""
        if layer in self.inputs:
            self.couple(self.inputs[layer], labels, f"{layer} reads them in another call")
        else:
            self.inputs[layer] = labels

    def note_axis(self, owner: str, name: str, axis: int, labels: Labels, *, reads: bool = False) -> None:
        """Note that the tensor ``owner.name`` has the channels ``labels`` along ``axis``, and loses there what goes."""
        known = self.axes.setdefault((owner, name, axis), Axis(owner, name, axis, labels, reads))
        if known.labels is not labels:
            self.couple(known.labels, labels, f"{owner} has other channels in another call")

    def note_size(self, where: StoredSize, labels: Labels, function: Callable[[int], int] | None = None) -> None:
        """Note that the number stored at ``where`` follows the channels ``labels``.

        Where as many other channels already follow the same number, the two are coupled.
        """
        known = self.sizes[where]
        same = next((size for size in known if len(size.labels) == len(labels)), None)
        if same is None:
            known.append(Size(where, labels, function or _same))
        elif same.labels is not labels:
            self.couple(same.labels, labels, f"{where.owner}.{where.attribute} counts others too")

    def couple(self, one: Labels, other: Labels, reason: str = "they meet values that belong to no channel") -> None:
        """Note that the channels ``one`` and ``other`` only go together, place by place (they are broadcast).

        ``reason``: why a channel stays that would be coupled with a value of no channel (label 0).
        """
        one, other = (part.reshape(-1) for part in np.broadcast_arrays(one, other))
        different = one != other
        one, other = one[different], other[different]
        single = (one == 0) | (other == 0)
        if single.any():
            self.pin(np.maximum(one, other)[single], reason)
        if not single.all():
            self._couplings.append((one[~single], other[~single]))

    def pin(self, labels: Labels, reason: str) -> None:
        """Note that the channels ``labels`` stay, and why."""
        found = np.unique(labels)
        found = found[found > 0]
        if len(found):
            self._pins.append((found, reason))

    def pin_used_numbers(self) -> None:
        """Pin the channels whose number, or whose weights, the code itself computes with."""
        stored = [size.labels for sizes in self.sizes.values() for size in sizes if size.where.used]
        for labels in (*stored, *(read.labels for read in self.measured if read.used)):
            self.pin(labels, "the code reckons with their number")
        for layer in sorted(self.reckoned & self.outputs.keys()):  # their size or mean would change
            self.pin(self.outputs[layer], f"the code reckons with the weights of {layer}")
            self.pin(self.inputs[layer], f"the code reckons with the weights of {layer}")

    def classes(self) -> npt.NDArray[np.int64]:
        """Return, by label, the number of its class: labels of one class only go together. Class 0 has label 0."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pairs = [np.concatenate(side) for side in zip(*self._couplings, strict=True)] or [np.zeros(0, np.int64)] * 2
        edges = coo_array((np.ones(len(pairs[0]), dtype=bool), (pairs[0], pairs[1])), shape=(self.count, self.count))
        found: npt.NDArray[np.int64] = connected_components(edges, directed=False)[1].astype(np.int64)
        return found

    def reasons(self, classes: npt.NDArray[np.int64]) -> dict[int, str]:
        """Return, for each class that stays, the first reason why."""
        found: dict[int, str] = {}
        for labels, reason in self._pins:
            for number in np.unique(classes[labels]).tolist():
                found.setdefault(number, reason)
        return found


def _same(value: int) -> int:
    return value
