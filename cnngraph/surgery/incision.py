"""What a set of removals does to the rest of a net, found out before anything is changed.

The net is run once on fake tensors with the removed layers passed by. Where a width no longer fits, the layer that reads
it is noted to be resized; where a sum's two sides differ, the conv before the gap is widened or the removal is refused.
Any graph that can be followed can be cut so; what is refused is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrize

from cnngraph.errors import PlanError
from cnngraph.surgery.anatomy import Block, Body
from cnngraph.surgery.passage import conv_size, passage

__all__ = ["Incision", "Join", "Resize", "incise"]


@dataclass(frozen=True)
class Resize:
    """New width of a surviving conv or dense layer.

    ``maps``: (channels, height, width) before and after of what is flattened into a dense layer, else ``None``.
    ``norm``: path of its norm, where its outputs change; ``norm_of``: path of the removed norm that fits there instead.
    """

    inputs: int
    outputs: int
    maps: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    norm: str | None = None
    norm_of: str | None = None


@dataclass(frozen=True)
class Join:
    """A surviving conv or dense layer that a gap reaches without another one between.

    ``target``: the layer of the old net whose output, before its norm, it is to give: itself, or for a widened conv the
    removed conv that it stands in for. ``first``: it is the first after its gap in network order, or is resized.
    ``obstacle``: why it cannot be refitted, or "".
    """

    layer: str
    target: str
    first: bool
    obstacle: str = ""


@dataclass(frozen=True)
class Incision:
    """Everything that changes when ``removed`` goes; paths are those of ``named_modules()``.

    Attributes:
        removed: convs that go, also those inside of blocks, in network order.
        blocks: residual blocks that go as a whole.
        passages: weightless modules that take the place of convs. silenced: norms and activations that become identities.
        rectified: blocks whose last activation is idle, since their input has been through the same one.
        resized, joins: surviving layers that change. stays: activations that stay without their conv.
    """

    removed: tuple[str, ...]
    blocks: tuple[Block, ...]
    passages: dict[str, nn.Module]
    silenced: tuple[str, ...]
    rectified: frozenset[str]
    resized: dict[str, Resize]
    joins: tuple[Join, ...]
    stays: tuple[str, ...]


class _SizeMismatchError(Exception):
    """Two maps of other sizes meet where they had the same: try again with passages that keep the size exactly."""


class _WidthMismatchError(Exception):
    """A sum's side has another width than before."""

    def __init__(self, total: fx.Node, side: fx.Node, width: int) -> None:
        super().__init__()
        self.total, self.side, self.width = total, side, width


@dataclass
class _Wound:
    """The removals as sets of nodes, and the widths that were decided on so far."""

    body: Body
    convs: dict[fx.Node, str]
    blocks: tuple[Block, ...]
    silent: set[fx.Node]
    stays: list[str]
    widened: dict[fx.Node, tuple[int, fx.Node]] = field(
        default_factory=dict
    )  # conv: its new width, removed conv it replaces
    norms: dict[fx.Node, fx.Node] = field(default_factory=dict)  # norm of a widened conv: that conv

    def __post_init__(self) -> None:
        self.skipped = {node for block in self.blocks for node in block.branch}
        self.bypassed = {block.total: block.side for block in self.blocks}


def incise(body: Body, convs: Iterable[str], blocks: Iterable[str]) -> Incision:
    """Find out what removing ``convs`` (paths of Conv2d modules called once) and ``blocks`` does.

    A block all of whose branch's convs are named goes as a block.

    Raises:
        PlanError: the rest cannot work; the message says which layer stands against it and why.
    """
    wound = _open_wound(body, set(convs), set(blocks))
    for exact in (False, True):
        try:
            fitter = _fit(wound, exact=exact)
        except _SizeMismatchError as error:
            if exact:
                raise PlanError(f"{_named(wound)} cannot go: {error}.", "Remove other layers.") from error
            wound.widened.clear()
            wound.norms.clear()
        else:
            return _close(wound, fitter)
    raise AssertionError("the second fit returns or raises")


def _open_wound(body: Body, convs: set[str], blocks: set[str]) -> _Wound:
    for block in body.blocks.values():
        names = {str(node.target) for node in block.branch_convs}
        if names and names <= convs and not block.reason:
            blocks.add(block.name)
    gone = tuple(block for block in body.blocks.values() if block.name in blocks)
    skipped = {node for block in gone for node in block.branch}
    nodes = {node: str(node.target) for node in body.convs if str(node.target) in convs and node not in skipped}
    silent: set[fx.Node] = set()
    stays: list[str] = []
    for node in nodes:
        unit = body.unit(node)
        for part in (unit.norm, unit.activation):
            if part is None:
                continue
            if part.op == "call_module" and body.calls(part) == 1:
                silent.add(part)
            else:
                stays.append(str(part.target) if part.op == "call_module" else part.name)
    return _Wound(body, nodes, gone, silent, stays)


def _fit(wound: _Wound, *, exact: bool) -> _Fitter:
    """Run the net past the gaps until every width fits."""
    while True:
        fitter = _Fitter(wound, exact=exact)
        try:
            fitter.run_all()
        except _WidthMismatchError as error:
            _widen(wound, error)
        else:
            return fitter


def _widen(wound: _Wound, error: _WidthMismatchError) -> None:
    """Let the conv before the gap give the width that a sum demands.

    Raises:
        PlanError: there is none that only this gap reads.
    """
    body = wound.body
    node, stood_in = error.side, None
    norm: fx.Node | None = None
    reason = "no conv before it could give that width"
    while True:
        if node in wound.convs:
            stood_in = stood_in or node
        elif body.is_conv(node):
            conv = body.module(node)
            assert isinstance(conv, nn.Conv2d)
            if stood_in is None or node in wound.widened:
                break
            if conv.groups != 1 or body.calls(node) != 1:
                reason = f"the conv before it, {node.target}, is grouped or called more than once"
                break
            wound.widened[node] = (error.width, stood_in)
            if norm is not None:
                wound.norms[norm] = node
            return
        elif body.is_norm(node) and node not in wound.silent:
            norm = node
        elif not (node in wound.silent or body.is_activation(node) or body.is_passing(node)):
            break
        node = node.all_input_nodes[0]
        if len(node.users) != 1:
            reason = (
                f"what lies before it, {node.target if node.op == 'call_module' else node.name}, is read elsewhere too"
            )
            break
    raise PlanError(
        f"{_named(wound)} cannot go: the sum {error.total.name} needs {error.width} channels on both sides, and {reason}.",
        "Remove the whole block, or another layer.",
    )


class _Fitter(fx.Interpreter):
    """One pass over fake tensors past the gaps; notes the shapes, passages and widths that come out."""

    def __init__(self, wound: _Wound, *, exact: bool) -> None:
        super().__init__(wound.body.graph_module)
        self.wound = wound
        self.exact = exact
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.passages: dict[str, nn.Module] = {}
        self.widths: dict[fx.Node, tuple[int, int]] = {}

    def run_all(self) -> None:
        """Run it.

        Raises:
            PlanError, _SizeMismatchError, _WidthMismatchError: as the module says.
        """
        source = self.wound.body.nodes[0]
        weight = next(iter(self.wound.body.graph_module.parameters()))
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            self.run(torch.zeros(source.meta["shape"], device=weight.device, dtype=weight.dtype))

    def run_node(self, n: fx.Node) -> Any:
        if n in self.wound.skipped:
            return None
        if n in self.wound.bypassed:
            value = self.env[self.wound.bypassed[n]]
        else:
            self._compare_operands(n)
            value = self._step(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
            self._check_batch(n, value)
        return value

    def _step(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            (x, *_), _ = self.fetch_args_kwargs_from_env(node)
            if isinstance(x, Tensor):
                known = self._call(node, x)
                if known is not None:
                    return known
        try:
            return super().run_node(node)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            what = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise _SizeMismatchError(f"{_label(node)} does not take what it then gets ({what})") from error

    def _call(self, node: fx.Node, x: Tensor) -> Tensor | None:
        """The value of a module whose output is known without running it; ``None`` leaves it to the interpreter."""
        module = self.wound.body.module(node)
        if node in self.wound.convs:
            assert isinstance(module, nn.Conv2d)
            made = passage(module, (x.shape[2], x.shape[3]), exact=self.exact, copy=self._needs_copy(node))
            self.passages[str(node.target)] = made
            passed = made(x)
            assert isinstance(passed, Tensor)
            return passed
        if node in self.wound.silent:
            return x
        if isinstance(module, nn.Conv2d):
            return self._conv(node, module, x)
        if isinstance(module, nn.Linear):
            self._note_width(
                node, module, (module.in_features, module.out_features), (x.shape[-1], module.out_features)
            )
            return x.new_empty((*x.shape[:-1], module.out_features))
        width = getattr(module, "num_features", None) or getattr(module, "num_channels", None)
        if self.wound.body.is_norm(node) and isinstance(width, int):
            if width != x.shape[1] and node not in self.wound.norms:
                raise PlanError(
                    f"{_named(self.wound)} cannot go: the norm {node.target} would get {x.shape[1]} channels instead of {width}.",
                    "Remove other layers.",
                )
            return x.clone()
        return None

    def _conv(self, node: fx.Node, conv: nn.Conv2d, x: Tensor) -> Tensor:
        outputs = self.wound.widened[node][0] if node in self.wound.widened else conv.out_channels
        self._note_width(node, conv, (conv.in_channels, conv.out_channels), (x.shape[1], outputs))
        height, width = conv_size(conv, (x.shape[2], x.shape[3]))
        if min(height, width) < 1:
            raise _SizeMismatchError(f"the map is too small for {node.target}")
        return x.new_empty((x.shape[0], outputs, height, width))

    def _note_width(self, node: fx.Node, module: nn.Module, before: tuple[int, int], after: tuple[int, int]) -> None:
        if after == before:
            return
        if isinstance(module, nn.Conv2d) and module.groups != 1:
            raise PlanError(
                f"{_named(self.wound)} cannot go: {node.target} is a grouped conv and would get {after[0]} channels instead of {before[0]}.",
                "Remove other layers.",
            )
        if self.wound.body.calls(node) > 1 and self.widths.get(node, after) != after:
            raise PlanError(f"{_named(self.wound)} cannot go: {node.target} is called twice, with other widths.", "")
        if parametrize.is_parametrized(module):
            raise PlanError(
                f"{_named(self.wound)} cannot go: {node.target} is parametrized and cannot be resized.",
                "Call torch.nn.utils.parametrize.remove_parametrizations first.",
            )
        self.widths[node] = after

    def _needs_copy(self, conv: fx.Node) -> bool:
        """Whether an operation that may work in place reads the gap's value itself (fx shows ``+=`` as ``+``)."""
        waiting = list(conv.users)
        while waiting:
            node = waiting.pop()
            if node in self.wound.silent or isinstance(
                self.wound.body.module(node), nn.Identity | nn.Dropout | nn.Dropout2d
            ):
                waiting.extend(node.users)
            elif node.op in {"call_function", "call_method"} or getattr(self.wound.body.module(node), "inplace", False):
                return True
        return False

    def _compare_operands(self, node: fx.Node) -> None:
        """Operands that had one shape must still have one; broadcasting must not hide a gap."""
        operands = [source for source in node.all_input_nodes if source in self.shapes]
        if len(operands) < 2 or getattr(node.target, "__name__", node.target) in {"cat", "concat", "concatenate"}:
            return
        if (
            len({source.meta["shape"] for source in operands}) != 1
            or len({self.shapes[source] for source in operands}) == 1
        ):
            return
        old = operands[0].meta["shape"]
        for source in operands:
            if self.shapes[source][1] != old[1]:
                raise _WidthMismatchError(node, source, old[1])
        raise _SizeMismatchError(f"the maps that meet in {_label(node)} would have other sizes")

    def _check_batch(self, node: fx.Node, value: Tensor) -> None:
        before = node.meta.get("shape")
        if isinstance(before, tuple) and before and before[0] == self.wound.body.nodes[0].meta["shape"][0]:
            if not value.shape or value.shape[0] != before[0]:
                raise _SizeMismatchError(f"{_label(node)} has a stored size (write torch.flatten(x, 1))")


def _close(wound: _Wound, fitter: _Fitter) -> Incision:
    body = wound.body
    for node in body.nodes[-1].all_input_nodes:
        if fitter.shapes.get(node) != node.meta["shape"]:
            raise PlanError(
                f"{_named(wound)} cannot go: the net's output would have another shape.", "The classifier stays."
            )
    resized = {str(node.target): _resize(wound, fitter, node, widths) for node, widths in fitter.widths.items()}
    return Incision(
        removed=tuple(str(node.target) for node in body.convs if node in wound.convs or node in wound.skipped),
        blocks=wound.blocks,
        passages=fitter.passages,
        silenced=tuple(str(node.target) for node in body.nodes if node in wound.silent),
        rectified=frozenset(
            block.name
            for block in wound.blocks
            if len(block.tail) == 1
            and not block.shortcut
            and body.is_rectified(block.entry, block.tail[0], _quiet(wound))
        ),
        resized=resized,
        joins=_joins(wound, resized),
        stays=tuple(dict.fromkeys(wound.stays)),
    )


def _quiet(wound: _Wound) -> set[fx.Node]:
    return wound.silent | set(wound.convs)


def _resize(wound: _Wound, fitter: _Fitter, node: fx.Node, widths: tuple[int, int]) -> Resize:
    maps = None
    if isinstance(wound.body.module(node), nn.Linear):
        source = node
        while len(source.meta["shape"]) != 4 and len(source.all_input_nodes) == 1:
            source = source.all_input_nodes[0]
        before, after = source.meta["shape"][1:], fitter.shapes[source][1:]
        if len(before) == 3 and (_size(before), _size(after)) == (_inputs(wound.body.module(node)), widths[0]):
            maps = (before, after)
    norm = next((norm for norm, conv in wound.norms.items() if conv is node), None)
    norm_of = wound.body.unit(wound.widened[node][1]).norm if norm is not None else None
    return Resize(
        *widths,
        maps=maps,
        norm=None if norm is None else str(norm.target),
        norm_of=None if norm_of is None or norm_of not in wound.silent else str(norm_of.target),
    )


def _size(shape: tuple[int, ...]) -> int:
    return shape[0] * shape[1] * shape[2]


def _inputs(module: nn.Module | None) -> int:
    return module.in_features if isinstance(module, nn.Linear) else 0


def _joins(wound: _Wound, resized: dict[str, Resize]) -> tuple[Join, ...]:
    body = wound.body
    order = {node: index for index, node in enumerate(body.nodes)}
    reached: set[fx.Node] = set()
    first: set[fx.Node] = set()
    for start in (*wound.convs, *wound.bypassed):
        found = _readers(wound, start)
        if body.nodes[-1] in found:
            raise PlanError(f"{_named(wound)} cannot go: it gives the net's output.", "The classifier stays.")
        reached |= found
        first |= {min(found, key=order.__getitem__)} if found else set()
    reached |= set(wound.widened)
    joins = []
    for node in sorted(reached, key=order.__getitem__):
        name = str(node.target)
        target, obstacle = name, _obstacle(body, node)
        if node in wound.widened:
            stood_in = wound.widened[node][1]
            target = str(stood_in.target)
            old, new = body.module(stood_in), resized[name]
            assert isinstance(old, nn.Conv2d)
            if max(old.stride) > 1:
                obstacle = f"it stands in for {target}, whose stride is a pool now"
            elif (new.norm_of is None) != (body.unit(stood_in).norm is None) or (new.norm is None) != (
                new.norm_of is None
            ):
                obstacle = f"it stands in for {target}, and only one of the two has a norm"
        joins.append(Join(name, target, node in first or name in resized, obstacle))
    return tuple(joins)


def _readers(wound: _Wound, start: fx.Node) -> set[fx.Node]:
    """Surviving conv and dense layers, or the output, that the value of ``start`` reaches with none between."""
    found: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    waiting = list(start.users)
    while waiting:
        node = waiting.pop()
        if node in seen or node in wound.skipped:
            continue
        seen.add(node)
        if node.op == "output" or (wound.body.is_weighted(node) and node not in wound.convs):
            found.add(node)
        else:
            waiting.extend(node.users)
    return found


def _obstacle(body: Body, node: fx.Node) -> str:
    module = body.module(node)
    if type(module).forward not in (nn.Conv2d.forward, nn.Linear.forward):
        return "it is no plain conv or dense layer"
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        return "it is a grouped conv"
    if body.calls(node) > 1:
        return "it is called more than once"
    if module is not None and parametrize.is_parametrized(module):
        return "it is parametrized"
    return ""


def _label(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _named(wound: _Wound) -> str:
    names = [*(block.name for block in wound.blocks), *wound.convs.values()]
    return ", ".join(names)
