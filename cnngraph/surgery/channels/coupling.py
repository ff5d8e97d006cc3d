"""Which filters of a net go together: channels that are summed, concatenated, split, shuffled, gated or flattened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from torch import fx, nn

from cnngraph.errors import PlanError, TraceError, nearest
from cnngraph.models.wrappers import unwrapped
from cnngraph.network.symbolic import follow_symbolically
from cnngraph.surgery.channels.channel_dependencies import ChannelDependencies
from cnngraph.surgery.channels.channel_tracer import ChannelTracer
from cnngraph.surgery.channels.kernels import made_kernels
from cnngraph.surgery.channels.tracked_ints import Labels, remember_sizes
from cnngraph.surgery.channels.true_sizes import follow_attributes

__all__ = ["Coupling", "Group", "coupled"]

Channels = tuple[tuple[str, int], ...]
Prepare = Callable[[nn.Module], None]

_LARGER = (224, 299)  # where an auxiliary head takes no images of the given size, one of these may do


@dataclass(frozen=True)
class Group:
    """Channels that only go together; every pair is (layer, number of the channel).

    Attributes:
        filters: output channels of convs and of dense layers that run over places. units: those of other dense layers.
        readers: input channels of the layers that read them (of a dense layer: its inputs).
        norms: channels of norms that scale them.
        fixed: why the group cannot go, "" if it can.
    """

    index: int
    filters: Channels
    readers: Channels
    norms: Channels
    fixed: str
    units: Channels = ()


@dataclass(frozen=True, eq=False)
class Coupling:
    """The coupled channels of one net, as :func:`coupled` found them.

    Attributes:
        layers: layers with filters, in network order, and how many each has.
        notes: what could not be seen, a sentence each.
        dependencies: labels of all axes and sizes. classes: by label, the class of labels that go together.
        reasons: by class that is fixed, why.
    """

    layers: dict[str, int]
    notes: tuple[str, ...]
    dependencies: ChannelDependencies = field(repr=False)
    classes: npt.NDArray[np.int64] = field(repr=False)
    reasons: dict[int, str] = field(repr=False)

    def keeping(self, keep: Mapping[str, str]) -> Coupling:
        """The same where no filter of these layers can go, nor what is coupled with one; the reason by layer."""
        reasons = dict(self.reasons)
        for layer, reason in keep.items():
            for label in self.dependencies.outputs.get(layer, ()):
                reasons.setdefault(int(self.classes[label]), reason)
        return replace(self, reasons=reasons)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """All groups with a filter or a unit, in network order of their first."""
        filters = _by_class({name: self.dependencies.outputs[name] for name in self.layers}, self.classes)
        dense = {name: row for name, row in self.dependencies.outputs.items() if name not in self.layers}
        units = _by_class(dense, self.classes)
        readers = _by_class(self.dependencies.inputs, self.classes)
        norms = _by_class(self.dependencies.norms, self.classes)
        order = dict.fromkeys((*filters, *units))
        return tuple(
            Group(
                index=index,
                filters=filters.get(number, ()),
                readers=readers.get(number, ()),
                norms=norms.get(number, ()),
                fixed=self.reasons.get(number, ""),
                units=units.get(number, ()),
            )
            for index, number in enumerate(order)
        )

    def closure(self, filters: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, ...]]:
        """``filters`` and every filter that is coupled with them, by layer in network order.

        Raises:
            PlanError: a layer that is not there, a filter out of range or fixed, or all that a layer has.
        """
        gone = self.gone(filters)
        found = {name: np.flatnonzero(gone[self.dependencies.outputs[name]]) for name in self.layers}
        return {name: tuple(numbers.tolist()) for name, numbers in found.items() if len(numbers)}

    def gone(self, filters: Mapping[str, Iterable[int]]) -> npt.NDArray[np.bool_]:
        """By label, whether its channel goes with ``filters``. Raises as :meth:`closure`."""
        chosen = np.zeros(int(self.classes.max()) + 1, dtype=bool)
        for name, numbers in filters.items():
            for number in numbers:
                chosen[self._class_of(name, number)] = True
        gone: npt.NDArray[np.bool_] = chosen[self.classes]
        for name, row in self.dependencies.outputs.items():
            if gone[row].all():
                named = " with what is coupled to them" if name not in filters else ""
                raise PlanError(f"The plan removes all {len(row)} filters of {name}{named}.", "Leave one at least.")
        for name, row in self.dependencies.inputs.items():
            if gone[row].all():
                raise PlanError(f"The plan removes all that {name} reads.", "Leave one at least.")
        return gone

    def _class_of(self, name: str, number: int) -> int:
        if name not in self.layers:
            raise PlanError(f"The net has no layer {name!r} with filters.", nearest(name, self.layers))
        if not 0 <= number < self.layers[name]:
            raise PlanError(
                f"{name} has no filter {number}.", f"Its filters are numbered from 0 to {self.layers[name] - 1}."
            )
        found = int(self.classes[self.dependencies.outputs[name][number]])
        if found in self.reasons:
            raise PlanError(f"Filter {number} of {name} cannot go: {self.reasons[found]}.", "Remove other filters.")
        return found


def coupled(model: nn.Module, input_shape: tuple[int, int, int]) -> Coupling:
    """Find which filters of ``model`` go together, for images of ``input_shape`` (channels, height, width).

    The net is followed in eval mode and, where that leaves weights unused, in train mode too (auxiliary heads). It is
    left as it was.

    Raises:
        ModelError: weights that are NaN, infinite or without values.
        TraceError: the net cannot be followed, or does not take images of this shape.
    """
    model = unwrapped(model)
    dependencies = ChannelDependencies(kernels=made_kernels(model))
    module, prepare = _followed(model, input_shape, dependencies)
    first = ChannelTracer(model, module, dependencies)
    first.run(None)
    follow_attributes(model, module, first, dependencies)
    notes: tuple[str, ...] = ()
    if any(id(parameter) not in first.reached for parameter in model.parameters()):
        notes = _train_branches(model, input_shape, dependencies, prepare)
    dependencies.pin_used_numbers()
    classes = dependencies.classes()
    reasons = dependencies.reasons(classes)
    layers = {
        name: len(row)
        for name, row in dependencies.outputs.items()
        if name in dependencies.convs or name in dependencies.over_places
    }
    notes += _in_one(layers, dependencies, classes, reasons)
    for verb, rows in (("has", dependencies.outputs), ("reads", dependencies.inputs)):
        for name, row in rows.items():
            if len(set(classes[row].tolist())) == 1:
                reasons.setdefault(int(classes[row[0]]), f"they are all that {name} {verb}")
    return Coupling(layers, notes, dependencies, classes, reasons)


def _in_one(
    layers: Mapping[str, int],
    dependencies: ChannelDependencies,
    classes: npt.NDArray[np.int64],
    reasons: Mapping[int, str],
) -> tuple[str, ...]:
    """Say where all filters of a layer are one group, as where splits and shuffles follow each other (ShuffleNet)."""
    whole = [
        name
        for name, width in layers.items()
        if width > 1
        and len(found := set(classes[dependencies.outputs[name]].tolist())) == 1
        and not found & reasons.keys()
    ]
    if not whole:
        return ()
    return (f"All filters of {_few(whole)} are coupled with each other, so that none of them can go.",)


def _few(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and of {len(names) - 1} more layers"


def _followed(
    model: nn.Module, input_shape: tuple[int, int, int], dependencies: ChannelDependencies
) -> tuple[fx.GraphModule, Prepare | None]:
    """The net followed in eval mode, its stored sizes remembered where its code bears that, and how it was prepared."""
    leaves = dependencies.known_kernels
    try:
        return follow_symbolically(
            model, input_shape, unread=True, prepare=remember_sizes, leaves=leaves
        ), remember_sizes
    except TraceError:
        return follow_symbolically(model, input_shape, unread=True, leaves=leaves), None


def _train_branches(
    model: nn.Module, input_shape: tuple[int, int, int], dependencies: ChannelDependencies, prepare: Prepare | None
) -> tuple[str, ...]:
    """Trace channels through what train mode does besides; auxiliary heads may need larger images than the net."""
    sizes = [input_shape, *((input_shape[0], size, size) for size in _LARGER if size > max(input_shape[1:]))]
    for size in sizes:
        try:
            module = follow_symbolically(
                model, size, training=True, unread=True, prepare=prepare, leaves=dependencies.known_kernels
            )
        except TraceError as error:
            refused = error.message
        else:
            ChannelTracer(model, module, dependencies).run(None)
            return ()
    return (f"Branches for training alone were not followed: {refused}",)


def _by_class(rows: Mapping[str, Labels], classes: npt.NDArray[np.int64]) -> dict[int, Channels]:
    """By class, (layer, channel) of every channel in it."""
    found: dict[int, list[tuple[str, int]]] = {}
    for name, row in rows.items():
        for channel, number in enumerate(classes[row].tolist()):
            found.setdefault(number, []).append((name, channel))
    return {number: tuple(channels) for number, channels in found.items()}
