"""What surgery reads off a followed net: the norm and activation that go with a conv, and the residual blocks."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

__all__ = ["Block", "Body", "Unit", "is_sum", "module_path"]

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Softmin, nn.GLU)
_PASSING = (
    nn.Dropout,
    nn.Dropout2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Identity,
)
_FUNCTIONAL_ACTIVATIONS: dict[Any, type[nn.Module]] = {
    F.relu: nn.ReLU,
    F.relu_: nn.ReLU,
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    F.relu6: nn.ReLU6,
    F.silu: nn.SiLU,
    F.gelu: nn.GELU,
    F.hardswish: nn.Hardswish,
    F.elu: nn.ELU,
    F.leaky_relu: nn.LeakyReLU,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
}
_FUNCTIONAL_LAYERS = {F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.linear}
_FUNCTIONAL_PASSING = {F.max_pool2d, F.avg_pool2d, F.dropout, F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
_IDEMPOTENT = (nn.ReLU, nn.ReLU6, nn.Hardtanh)


@dataclass(frozen=True)
class Unit:
    """A conv's own norm and activation, as fx nodes; ``None`` where there is none or it serves others too."""

    norm: fx.Node | None
    activation: fx.Node | None


@dataclass(frozen=True)
class Block:
    """A residual block: a module in whose forward two paths from one input meet in one sum.

    Attributes:
        name: path of the module.
        entry: the node outside the block that it reads. total: its sum. leaving: the node that the rest reads.
        shortcut: nodes from ``entry`` (exclusive) to the sum along the path with fewer convs.
        tail: nodes after the sum.
        branch: every other node of the block. branch_convs: the convs among them, in network order.
        side: the operand of the sum that is the shortcut.
        pieces: what stays, in order: (name, path below the block), or (name, module) for a functional activation.
        reason: why it cannot be taken out, or "".
    """

    name: str
    entry: fx.Node
    total: fx.Node
    leaving: fx.Node
    side: fx.Node
    shortcut: tuple[fx.Node, ...]
    tail: tuple[fx.Node, ...]
    branch: tuple[fx.Node, ...]
    branch_convs: tuple[fx.Node, ...]
    pieces: tuple[tuple[str, str | nn.Module], ...] = ()
    reason: str = ""


class Body:
    """A followed net, read for surgery. ``graph_module`` is that of ``cnngraph.network.graph.follow``."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self.graph_module = graph_module
        self.nodes = list(graph_module.graph.nodes)
        self._modules = dict(graph_module.named_modules())
        self._calls: dict[int, int] = {}
        for node in self.nodes:
            module = self.module(node)
            if module is not None:
                self._calls[id(module)] = self._calls.get(id(module), 0) + 1
        self._owners = Counter(
            id(parameter) for module in self._modules.values() for parameter in module.parameters(recurse=False)
        )
        self.blocks = {block.name: block for block in self._find_blocks()}

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that ``node`` calls, if it calls one."""
        return self._modules[str(node.target)] if node.op == "call_module" else None

    def calls(self, node: fx.Node) -> int:
        """How often the module of ``node`` is called in one forward pass."""
        module = self.module(node)
        return 0 if module is None else self._calls[id(module)]

    def shares_weights(self, node: fx.Node) -> bool:
        """Whether a parameter of the module of ``node`` is another module's too (tied weights)."""
        module = self.module(node)
        return module is not None and any(self._owners[id(parameter)] > 1 for parameter in module.parameters())

    def is_conv(self, node: fx.Node) -> bool:
        """Whether ``node`` calls a Conv2d."""
        return isinstance(self.module(node), nn.Conv2d)

    def is_weighted(self, node: fx.Node) -> bool:
        """Whether ``node`` is a conv or dense layer, of any kind: what ends a gap."""
        if isinstance(self.module(node), nn.modules.conv._ConvNd | nn.Linear | nn.Bilinear):
            return True
        return node.op == "call_function" and node.target in _FUNCTIONAL_LAYERS

    @property
    def convs(self) -> list[fx.Node]:
        """Calls of Conv2d modules in network order."""
        return [node for node in self.nodes if self.is_conv(node)]

    @property
    def functional_convs(self) -> list[fx.Node]:
        """Convolutions that are function calls and have no module that could be replaced."""
        return [node for node in self.nodes if node.op == "call_function" and node.target is F.conv2d]

    def unit(self, conv: fx.Node) -> Unit:
        """The norm and activation that belong to ``conv`` alone: the first on its only way, no conv or sum between."""
        norm: fx.Node | None = None
        node = conv
        while len(node.users) == 1:
            node = next(iter(node.users))
            if self.is_norm(node) and norm is None:
                norm = node
            elif self.is_activation(node):
                return Unit(norm, node)
            elif not self.is_passing(node):
                break
        return Unit(norm, None)

    def is_norm(self, node: fx.Node) -> bool:
        """Whether ``node`` calls a normalisation."""
        return isinstance(self.module(node), _NORMS) or node.target in (F.batch_norm, F.group_norm, F.instance_norm)

    def is_activation(self, node: fx.Node) -> bool:
        """Whether ``node`` is an element-wise non-linearity, module or function."""
        module = self.module(node)
        if module is not None:
            return type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, _NO_ACTIVATIONS)
        return node.op in {"call_function", "call_method"} and node.target in _FUNCTIONAL_ACTIVATIONS

    def is_passing(self, node: fx.Node) -> bool:
        """Whether ``node`` keeps channels apart and as many: a pool, a dropout, the identity."""
        return isinstance(self.module(node), _PASSING) or node.target in _FUNCTIONAL_PASSING

    def activation_module(self, node: fx.Node) -> nn.Module | None:
        """A module that does what the activation ``node`` does out of place; ``None`` where its arguments say more."""
        if node.op == "call_module":
            return self.module(node)
        made = _FUNCTIONAL_ACTIVATIONS.get(node.target)
        plain = len(node.args) == 1 and set(node.kwargs) <= {"inplace"}
        return made() if made is not None and plain else None

    def is_rectified(self, node: fx.Node, like: fx.Node, silent: set[fx.Node]) -> bool:
        """Whether the value of ``node`` has already been through the idempotent activation of ``like``."""
        wanted = self.activation_module(like)
        while self.is_passing(node) or node in silent:
            node = node.all_input_nodes[0]
        there = self.activation_module(node) if self.is_activation(node) else None
        return isinstance(wanted, _IDEMPOTENT) and type(there) is type(wanted)

    def _find_blocks(self) -> Iterator[Block]:
        homes: dict[str, list[fx.Node]] = {}
        for node in self.nodes:
            if is_sum(node) and module_path(node):
                homes.setdefault(module_path(node), []).append(node)
        for home, sums in homes.items():
            inside = [node for node in self.nodes if _within(node, home)]
            if any(is_sum(node) and node not in sums for node in inside):
                continue  # a module around blocks is no block itself
            block = self._read_block(home, sums, inside)
            if block is not None:
                yield block

    def _read_block(self, name: str, sums: list[fx.Node], inside: list[fx.Node]) -> Block | None:
        members = set(inside)
        entries = {source for node in inside for source in node.all_input_nodes if source not in members}
        leaving = [node for node in inside if any(user not in members for user in node.users)]
        if len(sums) != 1 or len(entries) != 1 or len(leaving) != 1:
            return None
        (total,), (entry,) = sums, entries
        sides = [self._upstream(operand, members) for operand in total.all_input_nodes]
        if len(sides) != 2:
            return None
        convs = [[node for node in side if self.is_conv(node)] for side in sides]
        if not convs[0] and not convs[1]:
            return None
        short = 0 if len(convs[0]) < len(convs[1]) else 1
        shortcut = [node for node in inside if node in sides[short]]
        tail = self._downstream(total, leaving[0])
        kept = {*shortcut, total, *(tail or ())}
        branch = [node for node in inside if node not in kept]
        pieces = None if tail is None else self._pieces(name, [*shortcut, *tail], branch)
        reason = ""
        if len(convs[0]) == len(convs[1]):
            reason = "both ways to its sum have as many convs, so that none is the shortcut"
        elif pieces is None:
            reason = "its shortcut, or what follows its sum, is no chain of modules"
        return Block(
            name=name,
            entry=entry,
            total=total,
            leaving=leaving[0],
            side=total.all_input_nodes[short],
            shortcut=tuple(shortcut),
            tail=tuple(tail or ()),
            branch=tuple(branch),
            branch_convs=tuple(node for node in branch if self.is_conv(node)),
            pieces=tuple(pieces or ()),
            reason=reason,
        )

    def _pieces(
        self, name: str, chain: list[fx.Node], branch: list[fx.Node]
    ) -> list[tuple[str, str | nn.Module]] | None:
        """The modules that do what ``chain`` does, the block's children as they are; ``None`` where a step has none."""
        pieces: list[tuple[str, str | nn.Module]] = []
        for node in chain:
            if len(node.all_input_nodes) != 1:
                return None
            path = str(node.target) if node.op == "call_module" else module_path(node)
            child = path.removeprefix(name).removeprefix(".").split(".")[0]
            if not child:
                made = self.activation_module(node)
                if made is None:
                    return None
                pieces.append((node.name, made))
            elif pieces and pieces[-1] == (child, child):
                continue
            else:
                pieces.append((child, child))
        names = [piece for piece, _ in pieces]
        whole = {piece for piece, part in pieces if part == piece}
        torn = any(_child(node, name) in whole and _within(node, f"{name}.{_child(node, name)}") for node in branch)
        return None if torn or len(set(names)) != len(names) else pieces

    @staticmethod
    def _upstream(node: fx.Node, members: set[fx.Node]) -> set[fx.Node]:
        found: set[fx.Node] = set()
        waiting = [node]
        while waiting:
            here = waiting.pop()
            if here in members and here not in found:
                found.add(here)
                waiting.extend(here.all_input_nodes)
        return found

    @staticmethod
    def _downstream(start: fx.Node, end: fx.Node) -> list[fx.Node] | None:
        """The nodes after ``start`` up to ``end`` where they are a chain, else ``None``."""
        chain: list[fx.Node] = []
        node = start
        while node is not end:
            if len(node.users) != 1:
                return None
            node = next(iter(node.users))
            if len(node.all_input_nodes) != 1:
                return None
            chain.append(node)
        return chain


def is_sum(node: fx.Node) -> bool:
    """Whether ``node`` adds two maps."""
    named = node.op == "call_function" and node.target in {operator.add, operator.iadd, torch.add}
    named = named or (node.op == "call_method" and node.target in {"add", "add_"})
    shapes = [source.meta.get("shape") for source in node.all_input_nodes]
    return named and len(shapes) == 2 and all(isinstance(shape, tuple) and len(shape) == 4 for shape in shapes)


def module_path(node: fx.Node) -> str:
    """Path of the module whose forward made this call; "" for the net itself."""
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    if node.op == "call_module" and stack and stack[-1] == node.target:
        stack.pop()
    return stack[-1] if stack else ""


def _child(node: fx.Node, name: str) -> str:
    return module_path(node).removeprefix(name).removeprefix(".").split(".")[0]


def _within(node: fx.Node, home: str) -> bool:
    path = module_path(node)
    return path == home or path.startswith(f"{home}.")
