"""Run a net past its gaps on fake tensors (shapes without values): does every operation still get what it needs?

Only what the gaps change is computed: a step all of whose operands have the shapes that they had gives what it gave.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.nn.utils import parametrize

from cnngraph.errors import explain
from cnngraph.network.known_sizes import ASKED
from cnngraph.network.macs import counting
from cnngraph.network.symbolic import BATCH, fake_tensors
from cnngraph.surgery.layers.bypass import (
    Copy,
    conv_size,
    make_bypass,
    make_bypass_of_own_forward,
    make_bypass_of_region,
)
from cnngraph.surgery.layers.cut_state import CutState, Gap
from cnngraph.surgery.layers.node_queries import is_product, step_name

__all__ = ["ShapeCheck", "ShapeMismatchError", "can_follow"]

_CONCATS = {"cat", "concat", "concatenate"}
_ELEMENTWISE = {"add", "iadd", "add_", "sub", "isub", "mul", "imul", "mul_", "truediv", "div", "maximum", "minimum"}
_VIEWS = {"view", "reshape", torch.reshape}
_UNCHANGED = object()  # stands for a tensor that is as it was: most are, and few of them are ever read


class ShapeMismatchError(Exception):
    """An operation gets an operand of a shape that it does not take, because of a gap.

    ``node``: the step. ``sides``: its operands that are not as they were. ``size``: whether a map's size is wrong, so
    that passages that keep it exactly may help, rather than a width; ``meets``: whether it is a step at which several
    maps meet, so that the conv before could give the width that the other has.
    """

    def __init__(
        self, reason: str, node: fx.Node, sides: list[fx.Node], *, size: bool = False, meets: bool = False
    ) -> None:
        super().__init__(reason)
        self.node, self.sides, self.size, self.meets = node, sides, size, meets


class ShapeCheck(fx.Interpreter):
    """One run past the gaps. It notes the new shapes, the bypasses in the gaps, and the layers that must be resized.

    Attributes:
        exact: whether each bypass must return maps of the height and width that were there.
        shapes: by node, of its value for a batch of images. changed: nodes whose value has another shape than before.
        bypasses: by path. read: by path of a gap, how many channels come in.
        widths: by node of a layer to be resized, its new (inputs, outputs).
        norms: by node of a norm to be resized, its channels (before, now).
        macs: by node, multiply-accumulates for one image, where the operation was run.
    """

    def __init__(self, state: CutState, *, exact: bool) -> None:
        super().__init__(state.structure.graph_module, garbage_collect_values=False)
        self.state = state
        self.extra_traceback = False
        self.exact = exact
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.changed: set[fx.Node] = set()
        self.bypasses: dict[str, nn.Module] = {}
        self.read: dict[str, int] = {}
        self.widths: dict[fx.Node, tuple[int, int]] = {}
        self.norms: dict[fx.Node, tuple[int, int]] = {}
        self.macs: dict[fx.Node, int] = {}
        self._called: dict[str, tuple[int, int]] = {}

    def run_all(self) -> None:
        """Run it.

        Raises:
            MisfitError: something does not fit.
        """
        source = self.state.structure.nodes[0]
        weight = next(iter(self.state.structure.graph_module.parameters()))
        with torch.no_grad(), fake_tensors():
            self.run(torch.zeros(source.meta["shape"], device=weight.device, dtype=weight.dtype))

    def run_node(self, n: fx.Node) -> Any:
        state = self.state
        if n in state.skipped:
            return None
        if n in state.bypassed:
            value = self._value(state.bypassed[n])
            if n in state.closed:
                self.bypasses[state.closed[n]] = Copy() if self._needs_copy(n) else nn.Identity()
        elif n in state.gaps:
            value = self._past(state.gaps[n])
        elif n in state.identities:
            value = self._value(state.structure.sources(n)[0])
        elif self.changed.isdisjoint(n.all_input_nodes) and n not in state.widened:
            value = self._as_before(n)
        else:
            self._compare_operands(n)
            value = self._step(n)
        self._note(n, value)
        return value

    def _as_before(self, node: fx.Node) -> Any:
        shape = node.meta.get("shape")
        if node.op in {"placeholder", "output"}:
            return super().run_node(node)
        if isinstance(shape, tuple) and "dtype" in node.meta:
            self._note_unchanged(node)
            return _UNCHANGED
        value = node.meta.get("value")
        if isinstance(value, int | float | str | bool | torch.Size | torch.dtype | torch.device):
            return value
        return super().run_node(node)

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The operands of a step that is run, for which those that are as before are made too."""
        for source in n.all_input_nodes:
            self._value(source)
        return super().fetch_args_kwargs_from_env(n)

    def _value(self, node: fx.Node) -> Any:
        """What ``node`` gave; a value that is as before is made when something asks for it."""
        if self.env[node] is _UNCHANGED:
            meta = node.meta
            self.env[node] = torch.empty(meta["shape"], dtype=meta["dtype"], device=meta["device"])
        return self.env[node]

    def _note_unchanged(self, node: fx.Node) -> None:
        module = self.state.structure.module(node)
        if isinstance(module, nn.Conv2d):
            self._note_width(node, module, (module.in_channels, module.out_channels), None)
        elif isinstance(module, nn.Linear):
            self._note_width(node, module, (module.in_features, module.out_features), None)

    def _note(self, node: fx.Node, value: Any) -> None:
        before = node.meta.get("shape")
        if value is _UNCHANGED:
            self.shapes[node] = tuple(node.meta["shape"])
        elif isinstance(value, Tensor):
            self.shapes[node] = tuple(value.shape)
            if self.shapes[node] != before:
                self.changed.add(node)
                self._check_batch(node, value)
        elif isinstance(value, tuple | list) and value and all(isinstance(part, Tensor) for part in value):
            if [tuple(part.shape) for part in value] != before:
                self.changed.add(node)
                if isinstance(before, list) and len(value) != len(before):
                    raise self._mismatch(f"{step_name(node)} would give {len(value)} parts and not {len(before)}", node)
        elif before is None and node.op != "output":
            known = node.meta.get("value")
            same = isinstance(known, int | float | str | bool | torch.Size) and known == value
            if not same and known is not None and not self.changed.isdisjoint(node.all_input_nodes):
                self.changed.add(node)
                self._check_answers(node, known, value)

    def _step(self, node: fx.Node) -> Any:
        if self.state.structure.module(node) is not None:
            args, kwargs = self.fetch_args_kwargs_from_env(node)
            x = next(iter((*args, *kwargs.values())), None)
            if isinstance(x, Tensor):
                known = self._call(node, x)
                if known is not None:
                    return known
        try:
            with counting() as counter:
                value = super().run_node(node)
            self.macs[node] = counter.macs // BATCH
            if counter.foreign:
                self._run_really(node)
            return value
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            if node.target in _VIEWS:
                raise self._mismatch(_stored_size(node), node) from error
            raise self._mismatch(
                f"{step_name(node)} does not take what it then gets ({explain(error)})", node
            ) from error

    def _run_really(self, node: fx.Node) -> None:
        """Run a step on tensors with values too, since operators that are not torch's check more of them.

        Raises:
            RuntimeError, ValueError, ...: it does not take its operands.
        """
        with unset_fake_temporarily():
            args, kwargs = fx.node.map_aggregate(self.fetch_args_kwargs_from_env(node), _with_values)
            getattr(self, node.op)(node.target, args, kwargs)

    def _mismatch(self, reason: str, node: fx.Node) -> ShapeMismatchError:
        """That ``node`` does not take its operands: for the size of a map, if one of them has another."""
        sides = [source for source in node.all_input_nodes if source in self.changed]
        size = any(_size(source.meta["shape"]) != _size(self.shapes.get(source)) for source in sides)
        return ShapeMismatchError(reason, node, sides, size=size)

    def _past(self, gap: Gap) -> Tensor:
        """The value of what takes the place of a gap."""
        x: Tensor = self._value(gap.source)
        removals = self.state.removals
        if self.read.setdefault(gap.path, x.shape[1]) != x.shape[1]:
            raise ShapeMismatchError(
                f"{gap.path} is called more than once and would get other widths", gap.node, [gap.source]
            )
        if gap.path in self.state.opened:
            self.bypasses[gap.path] = nn.Identity()
            return x.new_empty((x.shape[0], 1, 1, 1))
        kept = gap.path in self.state.adapters or gap.path in removals.left_out
        made = self._bypass(gap, (x.shape[2], x.shape[3]), exact=self.exact or kept)
        passed = made(x)
        assert isinstance(passed, Tensor)
        return passed.new_empty((x.shape[0], gap.width, *passed.shape[2:])) if kept else passed

    def _bypass(self, gap: Gap, size: tuple[int, int], *, exact: bool) -> nn.Module:
        copy = self._needs_copy(gap.node)
        if gap.conv is not None and self.state.structure.has_own_forward(gap.node):
            wanted = self._size_behind(gap.node, gap.conv, size)
            made = make_bypass_of_own_forward(gap.conv, size, wanted, exact=exact, copy=copy)
        elif gap.conv is not None:
            made = make_bypass(gap.conv, size, exact=exact, copy=copy)
        else:
            before, after = gap.source.meta["shape"][2:], gap.node.meta["shape"][2:]
            made = make_bypass_of_region(before, after, size, exact=exact, copy=copy)
        known = self.bypasses.get(gap.path, made)
        if str(known) != str(made):
            if not {type(known), type(made)} <= {nn.Identity, Copy}:
                raise ShapeMismatchError(
                    f"{gap.path} is called more than once and would have to pool otherwise", gap.node, [gap.source]
                )
            made = Copy()
        self.bypasses[gap.path] = made
        return made

    def _call(self, node: fx.Node, x: Tensor) -> Tensor | None:
        """The value of a module whose output is known without running it; ``None`` leaves it to the interpreter."""
        module = self.state.structure.module(node)
        if isinstance(module, nn.Conv2d):
            return self._conv(node, module, x)
        if isinstance(module, nn.Linear):
            self._note_width(
                node, module, (module.in_features, module.out_features), (x.shape[-1], module.out_features)
            )
            return x.new_empty((*x.shape[:-1], module.out_features))
        width = getattr(module, "num_features", None) or getattr(module, "num_channels", None)
        if self.state.structure.is_norm(node) and isinstance(width, int):
            follows = self.state.removals.norms_follow and can_follow(module, self.state.structure.calls(node))
            if width != x.shape[1] and follows:
                self.norms[node] = (width, x.shape[1])
            elif width != x.shape[1] and node not in self.state.norms:
                reason = f"the norm {node.target} would get {x.shape[1]} channels instead of {width}"
                raise ShapeMismatchError(reason, node, [node.all_input_nodes[0]])
            return x.clone()
        return None

    def _conv(self, node: fx.Node, conv: nn.Conv2d, x: Tensor) -> Tensor:
        outputs = self.state.widened[node][0] if node in self.state.widened else conv.out_channels
        self._note_width(node, conv, (conv.in_channels, conv.out_channels), (x.shape[1], outputs))
        height, width = self._size_behind(node, conv, (x.shape[2], x.shape[3]))
        if min(height, width) < 1:
            raise ShapeMismatchError(
                f"the map is too small for {node.target}", node, [node.all_input_nodes[0]], size=True
            )
        return x.new_empty((x.shape[0], outputs, height, width))

    def _size_behind(self, node: fx.Node, conv: nn.Conv2d, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what ``conv`` makes of a map of ``size``."""
        if not self.state.structure.has_own_forward(node):
            return conv_size(conv, size)
        if size == tuple(node.all_input_nodes[0].meta["shape"][2:]):
            return (node.meta["shape"][2], node.meta["shape"][3])
        kept = dict(vars(conv))  # its forward may note something about the map
        try:
            made = conv.forward(torch.empty((1, conv.in_channels, *size), dtype=conv.weight.dtype))
        except (RuntimeError, ValueError, TypeError) as error:
            reason = f"the map is too small for {node.target}"
            raise ShapeMismatchError(reason, node, [node.all_input_nodes[0]], size=True) from error
        finally:
            vars(conv).clear()
            vars(conv).update(kept)
        return (made.shape[2], made.shape[3])

    def _note_width(
        self, node: fx.Node, module: nn.Module, before: tuple[int, int], after: tuple[int, int] | None
    ) -> None:
        """Note the (input, output) widths of a conv or dense layer; ``after`` is ``None`` where they are as before."""
        sides = [source for source in node.all_input_nodes if source in self.changed] or node.all_input_nodes[:1]
        after = after or before
        name = self.state.structure.path(node)
        if self._called.setdefault(name, after) != after:
            others = [other for other in self.widths if self.state.structure.path(other) == name]
            sides = [*sides, *(other.all_input_nodes[0] for other in others)]
            raise ShapeMismatchError(f"{name} is called more than once and would get other widths", node, sides)
        if after == before:
            return
        if isinstance(module, nn.Conv2d) and module.groups != 1:
            reason = f"{name} is a grouped conv and would get {after[0]} channels instead of {before[0]}"
            raise ShapeMismatchError(reason, node, sides)
        if self.state.structure.shares_weights(node):
            reason = f"{name} shares its weights with another layer and would get other widths"
            raise ShapeMismatchError(reason, node, sides)
        if self.state.structure.has_own_forward(node) and set(module.state_dict()) - {"weight", "bias"}:
            raise ShapeMismatchError(f"{name} has other weights than a plain conv and cannot be resized", node, sides)
        if parametrize.is_parametrized(module):
            raise ShapeMismatchError(f"{name} is parametrized and cannot be resized", node, sides)
        self.widths[node] = after

    def _needs_copy(self, gap: fx.Node) -> bool:
        """Whether an operation that may work in place reads the gap's value itself (fx shows ``+=`` as ``+``)."""
        waiting = list(gap.users)
        while waiting:
            node = waiting.pop()
            if node in self.state.identities or isinstance(
                self.state.structure.module(node), nn.Identity | nn.Dropout | nn.Dropout2d
            ):
                waiting.extend(node.users)
            elif node.op in {"call_function", "call_method"} or getattr(
                self.state.structure.module(node), "inplace", False
            ):
                return True
        return False

    def _compare_operands(self, node: fx.Node) -> None:
        """Operands that had one shape must still have one; broadcasting must not hide a gap."""
        operands = [source for source in node.all_input_nodes if source in self.shapes]
        name = getattr(node.target, "__name__", node.target)
        gate = self.state.structure.gate_of.get(node)
        opened = (
            gate is not None
            and gate.product is node
            and any(str(conv.target) in self.state.opened for conv in gate.convs)
        )
        if len(operands) < 2 or name in _CONCATS or opened:
            return
        before = [source.meta["shape"] for source in operands]
        now = [self.shapes[source] for source in operands]
        if len(set(before)) != 1 and not (name in _ELEMENTWISE and {len(shape) for shape in before} == {4}):
            return
        axis = next((axis for axis in (1, 0, *range(2, len(before[0]))) if not _still_meet(before, now, axis)), None)
        if axis is None:
            return
        sides = [source for source in operands if source in self.changed]
        if axis == 1:
            sides = [side for side in sides if self.shapes[side][1] != side.meta["shape"][1]]
            what = "product" if is_product(node) else "sum"
            reason = f"the {what} {step_name(node)} needs {sides[0].meta['shape'][1]} channels on both sides"
            raise ShapeMismatchError(reason, node, sides[:1], meets=True)
        raise ShapeMismatchError(
            f"the maps that meet in {step_name(node)} would have other sizes", node, sides, size=True
        )

    def _check_answers(self, node: fx.Node, known: Any, value: Any) -> None:
        """What the code asked of a number while it was followed must have the answer that it had."""
        if all(kind(value) == kind(known) for kind in node.meta.get(ASKED, ())):
            return
        sized = [source for source in self.state.structure.upstream_maps(node) if source in self.changed]
        size = any(_size(source.meta["shape"]) != _size(self.shapes.get(source)) for source in sized)
        where = f" at {node.meta['line']}" if node.meta.get("line") else ""
        reason = f"the code goes by a size that would be {value} instead of {known}{where}"
        raise ShapeMismatchError(reason, node, sized, size=size)

    def _check_batch(self, node: fx.Node, value: Tensor) -> None:
        before = node.meta.get("shape")
        batch = self.state.structure.nodes[0].meta["shape"][:1]
        if isinstance(before, tuple) and before[:1] == batch and tuple(value.shape[:1]) != batch:
            raise self._mismatch(_stored_size(node), node)


def _with_values(value: Any) -> Any:
    made = isinstance(value, FakeTensor)
    return torch.zeros(value.shape, dtype=value.dtype, device=value.device) if made else value


def can_follow(norm: nn.Module | None, calls: int) -> bool:
    """Whether a norm can get another number of channels: a batch norm, for others have groups or shapes to keep."""
    return isinstance(norm, nn.modules.batchnorm._NormBase) and calls == 1


def _still_meet(before: list[tuple[int, ...]], now: list[tuple[int, ...]], axis: int) -> bool:
    """Whether shapes that were one along ``axis``, or 1 for broadcasting, are so now."""
    if any(len(shape) <= axis for shape in now):
        return False
    wide = [shape[axis] for old, shape in zip(before, now, strict=True) if old[axis] != 1]
    narrow = [shape[axis] for old, shape in zip(before, now, strict=True) if old[axis] == 1]
    if wide:
        return len(set(wide)) == 1 and set(narrow) <= {1}
    return len(set(narrow)) == 1


def _size(shape: object) -> object:
    """Height and width of a map."""
    return shape[2:] if isinstance(shape, tuple) and len(shape) == 4 else None


def _stored_size(node: fx.Node) -> str:
    return f"{step_name(node)} has a stored size (write torch.flatten(x, 1))"
