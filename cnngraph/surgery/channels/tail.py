"""What a net answers without one group of coupled channels, for many groups at once.

The channels of a group are *ablated*: every layer that reads them reads zeros (as in
:mod:`cnngraph.surgery.channels.masked`, the reference). Up to these readers nothing changes, so that part of the net
runs once for an image. The response of a first reader changes by what the ablated channels alone gave to it, a product
of low rank; only what follows, the *tail*, runs for each group, images of several groups in one batch. An image in
which a group is silent at all its readers keeps its answer, and is not computed at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from cnngraph.models.outputs import logits_of
from cnngraph.modes import evaluation_mode
from cnngraph.network.symbolic import BATCH, follow_symbolically
from cnngraph.surgery.channels.coupling import Coupling, Group
from cnngraph.surgery.structure_diff import hooks_of

__all__ = ["CannotSplitError", "Head", "Tail", "exact_products"]


_LARGE = 100.0
# Bytes of the largest map of a batch on a processor: beyond its cache convolutions take half as long again. Fewer
# images than _LEAST_BATCH would read the weights too often.
_CACHED, _LEAST_BATCH = 2**22, 32


class CannotSplitError(Exception):
    """The net has no tail that can be computed apart; whole runs of the masked net tell the same."""


@dataclass(frozen=True)
class Head:
    """What one batch of images gives up to the tail, and what the whole net answers.

    Attributes:
        values: by node of the graph, what the tail reads, images along axis 0.
        logits: float64 (images, classes).
        active: by group index, whether the image gives its readers anything else than zeros from it: bool (images,).
        images: how many there are; further rows of the values fill the batch up.
        of_image: the nodes with a row an image.
    """

    values: dict[fx.Node, Any]
    logits: npt.NDArray[np.float64]
    active: dict[int, npt.NDArray[np.bool_]]
    images: int
    of_image: frozenset[fx.Node]


@dataclass
class Tail:
    """A net split at the layers that read some groups; made once for one set of groups.

    Attributes:
        net: the net, in which nothing reads what went before. Its weights are read at every run.
        coupling: of that net. groups: those that may be ablated.
        input_shape: (channels, height, width). most: how many images a run may take. classes: of the data.

    Raises:
        CannotSplitError: at the first use, where a reader is no plain conv or dense layer, or a norm reckons over
            several channels of which some may go.
    """

    net: nn.Module
    coupling: Coupling
    groups: tuple[Group, ...]
    input_shape: tuple[int, int, int]
    most: int
    classes: int | None = None
    _channels: dict[tuple[int, str], Tensor] = field(default_factory=dict, init=False, repr=False)
    _readers: dict[int, list[str]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for group in self.groups:
            for layer in dict.fromkeys(layer for layer, _ in group.readers):
                if not _is_depthwise(self.net.get_submodule(layer)):
                    channels = [channel for reader, channel in group.readers if reader == layer]
                    self._channels[group.index, layer] = torch.tensor(channels)
                    self._readers.setdefault(group.index, []).append(layer)
            if group.index not in self._readers:
                raise CannotSplitError(f"nothing reads {group.filters[0][0]}")
        self._require_plain()

    @cached_property
    def module(self) -> fx.GraphModule:
        """The net, followed in eval mode."""
        leaves = self.coupling.dependencies.known_kernels
        return follow_symbolically(self.net, self.input_shape, unread=True, leaves=leaves)

    @cached_property
    def batch(self) -> int:
        """How many images each run takes, always the same number: on a processor as many as its cache may hold."""
        if next(self.net.parameters()).is_cuda:
            return self.most
        shapes = (node.meta.get("shape") for node in self.changed & self.of_image)
        sizes = [math.prod(shape[1:]) for shape in shapes if isinstance(shape, tuple) and shape[:1] == (BATCH,)]
        fitting = _CACHED // (4 * max(sizes, default=1))
        return min(self.most, max(_LEAST_BATCH, fitting))

    @cached_property
    def readers(self) -> dict[fx.Node, str]:
        """The calls of layers that read a channel of the groups."""
        names = {layer for _, layer in self._channels}
        calls = {
            node: str(node.target)
            for node in self.module.graph.nodes
            if node.op == "call_module" and str(node.target) in names
        }
        if set(calls.values()) != names:
            raise CannotSplitError(f"{min(names - set(calls.values()))} is not called as a module")
        for node in self.module.graph.nodes:
            owner = str(node.target).rpartition(".")[0] if node.op == "get_attr" else None
            if owner in names:
                raise CannotSplitError(f"the weights of {owner} are used besides")
        return calls

    @cached_property
    def changed(self) -> set[fx.Node]:
        """The calls of readers and all steps that depend on one."""
        found: set[fx.Node] = set()
        for node in self.module.graph.nodes:
            if node in self.readers or any(source in found for source in node.all_input_nodes):
                found.add(node)
        return found

    @cached_property
    def first(self) -> dict[fx.Node, str]:
        """The readers whose input is the same whatever is ablated."""
        return {
            node: layer
            for node, layer in self.readers.items()
            if not any(source in self.changed for source in node.all_input_nodes)
        }

    @cached_property
    def nested(self) -> bool:
        """Whether some readers read what others give."""
        return len(self.first) < len(self.readers)

    @cached_property
    def picked(self) -> set[fx.Node]:
        """What the tail reads for each image of each group: responses of the first readers, and other values."""
        rest = self.changed - set(self.first)
        return set(self.first) | {one for node in rest for one in node.all_input_nodes if one not in self.changed}

    @cached_property
    def kept(self) -> set[fx.Node]:
        """What is kept of a batch: that, and what the first readers read."""
        return self.picked | {source for node in self.first for source in node.all_input_nodes}

    @cached_property
    def of_image(self) -> frozenset[fx.Node]:
        """The steps whose value depends on the image."""
        found: set[fx.Node] = set()
        for node in self.module.graph.nodes:
            if node.op == "placeholder" or any(source in found for source in node.all_input_nodes):
                found.add(node)
        return frozenset(found)

    def head(self, images: Tensor) -> Head:
        """Run the net for at most ``batch`` images (N, channels, height, width)."""
        count = len(images)
        if count < self.batch:
            images = torch.cat([images, images.new_zeros((self.batch - count, *images.shape[1:]))])
        run = _Whole(self, images)
        with torch.inference_mode(), evaluation_mode(self.net), exact_products():
            answer = run.run(images)
        logits = _logits(answer, self.batch, self.classes)[:count]
        active = {
            group.index: np.logical_or.reduce([run.active[layer, group.index] for layer in self._readers[group.index]])[
                :count
            ]
            for group in self.groups
        }
        return Head({node: run.values[node] for node in self.kept}, logits, active, count, self.of_image)

    def without(
        self, head: Head, pairs: Sequence[tuple[Group, npt.NDArray[np.int64]]]
    ) -> list[npt.NDArray[np.float64]]:
        """The logits of some images without a group, for each pair of (group, numbers of images in ``head``).

        Args:
            pairs: together at most ``batch`` images.

        Returns:
            For each pair float64 (its images, classes).
        """
        rows = np.concatenate([numbers for _, numbers in pairs])
        if len(rows) > self.batch:
            raise ValueError(f"{len(rows)} images do not fit into a batch of {self.batch}")
        filled = torch.from_numpy(np.concatenate([rows, np.zeros(self.batch - len(rows), dtype=np.int64)]))
        run = _Rest(self, head, pairs, filled)
        with torch.inference_mode(), evaluation_mode(self.net), exact_products():
            answer = run.run_rest()
        logits = _logits(answer, self.batch, self.classes)
        ends = np.cumsum([len(numbers) for _, numbers in pairs])
        return np.split(logits[: ends[-1]], ends[:-1])

    @cached_property
    def _label_classes(self) -> set[int]:
        """The classes of labels of the groups."""
        outputs, classes = self.coupling.dependencies.outputs, self.coupling.classes
        return {int(classes[outputs[group.filters[0][0]][group.filters[0][1]]]) for group in self.groups}

    def refresh(self, head: Head, logits: npt.NDArray[np.float64]) -> Head:
        """The head after the weights of the first readers changed, where no reader reads what another gives.

        Args:
            logits: the answers of the net as it is now.
        """
        values = dict(head.values)
        with torch.inference_mode(), evaluation_mode(self.net), exact_products():
            for node, layer in self.first.items():
                given, module = head.values[node.all_input_nodes[0]], self.net.get_submodule(layer)
                parts = (given[start : start + self.batch] for start in range(0, len(given), self.batch))
                values[node] = torch.cat([module(part) for part in parts])
        return replace(head, values=values, logits=logits)

    def channels_of(self, group: Group, layer: str) -> Tensor | None:
        """The numbers of the channels of ``group`` among the inputs of ``layer``."""
        return self._channels.get((group.index, layer))

    def _require_plain(self) -> None:
        if next(self.net.parameters()).dtype not in (torch.float32, torch.float64):
            raise CannotSplitError("its numbers are too coarse for differences")
        hooked = next((path for path, module in self.net.named_modules() if any(hooks_of(module))), None)
        if hooked is not None:
            raise CannotSplitError(f"{hooked or 'the net'} has hooks")
        dependencies, classes = self.coupling.dependencies, self.coupling.classes
        for layer in {layer for _, layer in self._channels}:
            module = self.net.get_submodule(layer)
            if layer in dependencies.kernels or not isinstance(module, nn.Conv2d | nn.Linear):
                raise CannotSplitError(f"{layer} is a {type(module).__name__}")
            width = module.in_channels if isinstance(module, nn.Conv2d) else module.in_features
            if len(dependencies.inputs[layer]) != width:
                raise CannotSplitError(f"{layer} reads groups of channels")
        for axis in dependencies.axes.values():
            mine = self._label_classes & set(classes[axis.labels].tolist())
            if mine and (axis.owner, axis.name) in dependencies.across:
                raise CannotSplitError(f"{axis.owner} reckons over several channels")
        for node in self.changed & self.of_image:
            for source in node.all_input_nodes:
                self._require_batch_first(source)

    def _require_batch_first(self, source: fx.Node) -> None:
        if source in self.changed or source not in self.of_image:
            return
        shape = source.meta.get("shape")
        if isinstance(shape, tuple) and shape[:1] == (BATCH,):
            return
        if shape is None and isinstance(source.meta.get("value"), int):
            return  # a size; the batch has the same number of images in every run
        raise CannotSplitError(f"{source.name} has no axis of images in front")


def _logits(answer: object, images: int, classes: int | None) -> npt.NDArray[np.float64]:
    return logits_of(answer, images, classes).values.double().cpu().numpy()


@contextmanager
def exact_products() -> Iterator[None]:
    """Float32 products in float32: by default CUDA rounds the operands of convolutions to ten bits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _axis(layer: nn.Module) -> int:
    return -1 if isinstance(layer, nn.Linear) else 1


class _Whole(fx.Interpreter):
    """The whole net; keeps what the tail reads, and notes which groups are silent in which images."""

    def __init__(self, tail: Tail, images: Tensor) -> None:
        super().__init__(tail.module, garbage_collect_values=True)
        self.tail = tail
        self.values: dict[fx.Node, Any] = {}
        self.active: dict[tuple[str, int], npt.NDArray[np.bool_]] = {}
        self._images = len(images)

    def run_node(self, n: fx.Node) -> Any:
        if n in self.tail.readers:
            self._note(n, self.tail.readers[n])
        value = super().run_node(n)
        if n in self.tail.kept:
            # A later step in place would write over it.
            self.values[n] = value.clone() if isinstance(value, Tensor) else value
        return value

    def _note(self, node: fx.Node, layer: str) -> None:
        """Which channels that this call reads are not zero everywhere."""
        given: Tensor = _input_of(self, node)
        if given.shape[0] != self._images:
            raise CannotSplitError(f"{layer} does not read a row an image")
        axis = _axis(self.tail.net.get_submodule(layer))
        spread = given.movedim(axis, 1).reshape(self._images, given.shape[axis], -1)
        lively = spread.ne(0).any(dim=2).cpu()
        for group in self.tail.groups:
            channels = self.tail.channels_of(group, layer)
            if channels is not None:
                found = lively[:, channels].any(dim=1).numpy()
                known = self.active.get((layer, group.index))
                self.active[layer, group.index] = found if known is None else known | found


def _input_of(run: fx.Interpreter, node: fx.Node) -> Tensor:
    args, kwargs = run.fetch_args_kwargs_from_env(node)
    given: Tensor = args[0] if args else next(iter(kwargs.values()))
    return given


class _Rest(fx.Interpreter):
    """The tail, for images of several groups in one batch; ``rows``: their numbers in the head."""

    def __init__(
        self, tail: Tail, head: Head, pairs: Sequence[tuple[Group, npt.NDArray[np.int64]]], rows: Tensor
    ) -> None:
        super().__init__(tail.module, garbage_collect_values=True)
        self.tail, self.head, self.pairs, self.rows = tail, head, pairs, rows

    def run_rest(self) -> Any:
        """The net's answer."""
        self.env = {node: self._picked(node, self.head.values[node]) for node in self.tail.picked}
        for node in self.tail.module.graph.nodes:
            if node not in self.tail.changed:
                continue
            if node.op == "output":
                return self.run_node(node)
            self.env[node] = self._run(node)
            for used in self.user_to_last_uses.get(node, ()):
                self.env.pop(used, None)
        raise CannotSplitError("the net has no output")

    def _picked(self, node: fx.Node, value: Any) -> Any:
        if isinstance(value, Tensor) and node in self.tail.of_image:
            return value.index_select(0, self.rows.to(value.device))
        return value

    def _run(self, node: fx.Node) -> Any:
        layer = self.tail.readers.get(node)
        if layer is None:
            return self.run_node(node)
        module = self.tail.net.get_submodule(layer)
        assert isinstance(module, nn.Conv2d | nn.Linear)
        if node in self.tail.first:
            return self._reduced(self.env[node], self.head.values[node.all_input_nodes[0]], layer, module)
        return module(self._silenced(_input_of(self, node), layer, module))

    def _reduced(self, response: Tensor, given: Tensor, layer: str, module: nn.Conv2d | nn.Linear) -> Tensor:
        """``response`` less what the ablated channels alone gave to it."""
        for group, numbers, place in self._slices():
            channels = self.tail.channels_of(group, layer)
            if channels is not None:
                rows = torch.from_numpy(numbers).to(given.device)
                whole = given.index_select(0, rows)
                gone = _contribution(module, whole.index_select(_axis(module), channels.to(given.device)), channels)
                rest = response[place] - gone
                if float(gone.abs().amax()) > _LARGE * float(rest.abs().amax()):  # the difference of two near numbers
                    rest = module(whole.index_fill(_axis(module), channels.to(given.device), 0))
                response[place] = rest
        return response

    def _silenced(self, given: Tensor, layer: str, module: nn.Conv2d | nn.Linear) -> Tensor:
        """``given`` with zeros in the ablated channels."""
        given = given.clone().movedim(_axis(module), 1)
        for group, _, place in self._slices():
            channels = self.tail.channels_of(group, layer)
            if channels is not None:
                given[place].index_fill_(1, channels.to(given.device), 0)
        return given.movedim(1, _axis(module))

    def _slices(self) -> Iterable[tuple[Group, npt.NDArray[np.int64], slice]]:
        start = 0
        for group, numbers in self.pairs:
            yield group, numbers, slice(start, start + len(numbers))
            start += len(numbers)


def _contribution(module: nn.Conv2d | nn.Linear, part: Tensor, channels: Tensor) -> Tensor:
    """What a conv or dense layer makes of ``channels`` alone (``part``), without its bias."""
    if isinstance(module, nn.Linear):
        return nn.functional.linear(part, module.weight.index_select(1, channels.to(part.device)))
    weight = module.weight
    if module.groups == 1:
        weight = weight.index_select(1, channels.to(part.device))
    else:  # the groups of a conv are of one size, so that all channels must be there
        whole = part.new_zeros((len(part), module.in_channels, *part.shape[2:]))
        part = whole.index_copy_(1, channels.to(part.device), part)
    response: Tensor = module._conv_forward(part, weight, None)
    return response


def _is_depthwise(module: nn.Module) -> bool:
    """Whether a conv makes each channel of one alone: what it makes of an ablated one is read by nobody."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
