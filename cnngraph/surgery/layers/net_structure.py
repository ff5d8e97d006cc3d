"""The parts of a followed net that surgery removes: convs with their norm and activation, blocks, gates, regions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from torch import fx, nn

from cnngraph.errors import TraceError
from cnngraph.network.graph import follow
from cnngraph.network.symbolic import follow_symbolically
from cnngraph.surgery.layers.node_queries import NORMS, NodeQueries, is_product
from cnngraph.surgery.layers.output import output_layers
from cnngraph.surgery.layers.residual import Residual, residual_blocks

__all__ = ["Gate", "NetStructure", "Part", "Region", "Unit", "read_structure"]


@dataclass(frozen=True)
class Part:
    """A norm or an activation that can be removed: its nodes then return what they read.

    ``path``: the module that becomes an identity, "" for a function, which cannot.
    """

    nodes: tuple[fx.Node, ...]
    path: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path or self.nodes[0].name


@dataclass(frozen=True)
class Unit:
    """A conv's own norm and activation; ``None`` where there is none or it serves others too.

    A norm with an activation inside, one module, is the ``norm``.
    """

    norm: Part | None
    activation: Part | None


@dataclass(frozen=True)
class Gate:
    """Squeeze and excite: a branch that reads a map, sees all of its places at once, and scales its channels.

    Attributes:
        name: path of its module, else of the product.
        source: the map. product: the map scaled. branch: everything between, in network order.
        convs: the convs in the branch. module: path of the module whose call it is exactly, or "".
    """

    name: str
    source: fx.Node
    product: fx.Node
    branch: tuple[fx.Node, ...]
    convs: tuple[fx.Node, ...]
    module: str


@dataclass(frozen=True)
class Region:
    """The only call of a module that reads one map and gives one map, with a conv inside.

    Attributes:
        name: path of the module. entry: the node outside that it reads. leaving: the node that the rest reads.
        inside: its nodes, in network order. convs: those among them.
    """

    name: str
    entry: fx.Node
    leaving: fx.Node
    inside: tuple[fx.Node, ...]
    convs: tuple[fx.Node, ...]


class NetStructure(NodeQueries):
    """A followed net with the parts that surgery can remove: blocks, gates, regions and units."""

    @cached_property
    def blocks(self) -> dict[str, Residual]:
        """The residual blocks by the paths of their modules."""
        return {block.name: block for block in residual_blocks(self)}

    @cached_property
    def output_layers(self) -> tuple[fx.Node, ...]:
        """The layers that give the net's output, in network order."""
        return output_layers(self)

    @cached_property
    def gates(self) -> dict[str, Gate]:
        """The gates by name."""
        found = [gate for node in self.nodes if is_product(node) and (gate := self._gate(node)) is not None]
        return {gate.name: gate for gate in found}

    @cached_property
    def gate_of(self) -> dict[fx.Node, Gate]:
        """The gate that a node of its branch, or its product, belongs to."""
        return {node: gate for gate in self.gates.values() for node in (*gate.branch, gate.product)}

    @cached_property
    def paths(self) -> dict[str, list[fx.Node]]:
        """The image's nodes inside of each module that is called, by its path; that of a leaf is not listed."""
        found: dict[str, list[fx.Node]] = {}
        for node in self.nodes:
            if node in self.of_image:
                for path in _stack(node):
                    found.setdefault(path, []).append(node)
        return found

    def calls_within(self, path: str) -> int:
        """How often the module ``path``, which calls others, is called in one forward pass."""
        stacks = [(node.meta.get("nn_module_stack") or {}).items() for node in self.nodes]
        return len({key for stack in stacks for key, (home, _) in stack if home == path})

    def region(self, path: str) -> Region | None:
        """The module ``path`` as a region, if it is one."""
        inside = self.paths.get(path, [])
        members = set(inside)
        convs = tuple(node for node in inside if self.is_conv(node))
        entries = {source for node in inside for source in self.sources(node) if source not in members}
        leaving = [node for node in inside if any(user not in members for user in self.readers(node))]
        if not path or not convs or len(entries) != 1 or len(leaving) != 1 or not self.takes_one_map(path):
            return None
        (entry,) = entries
        shapes = [node.meta["shape"] for node in (entry, leaving[0])]
        if not all(isinstance(shape, tuple) and len(shape) == 4 for shape in shapes):
            return None
        return Region(path, entry, leaving[0], tuple(inside), convs)

    def unit(self, conv: fx.Node) -> Unit:
        """The norm and activation that belong to ``conv`` alone: the first on its only way, no conv or sum between."""
        norm: Part | None = None
        node = conv
        while len(readers := self.readers(node)) == 1:
            node = readers[0]
            composite = self._norm_with_more(node)
            if composite is not None and norm is None:
                if any(self.is_activation(inner) for inner in composite.nodes):
                    return Unit(composite, None)
                norm, node = composite, composite.nodes[-1]
            elif self.is_norm(node) and norm is None:
                norm = _part(node)
            elif self.is_activation(node):
                return Unit(norm, _part(node))
            elif not self.is_passing(node):
                break
        return Unit(norm, None)

    def _norm_with_more(self, node: fx.Node) -> Part | None:
        """The norm module that makes the call ``node`` as a piece of its own forward (timm's ``BatchNormAct2d``)."""
        path = next((path for path in _stack(node) if path in self._norms_with_more), None)
        if path is None:
            return None
        nodes = self.paths[path]
        chain = all(self.sources(after) == [before] for before, after in pairwise(nodes))
        return Part(tuple(nodes), path) if chain and nodes[0] is node else None

    @cached_property
    def _norms_with_more(self) -> set[str]:
        """Paths of the norms that are followed into, since they have a forward of their own."""
        stacks = [(node, (node.meta.get("nn_module_stack") or {}).values()) for node in self.nodes]
        return {path for node, stack in stacks for path, kind in stack if path != node.target and _is_norm(kind)}

    def _gate(self, product: fx.Node) -> Gate | None:
        for small, map_ in (product.all_input_nodes, product.all_input_nodes[::-1]):
            if tuple(small.meta["shape"][2:]) != (1, 1) or self.order[map_] > self.order[small]:
                continue
            branch = self.upstream(small, map_)
            if not branch or not any(self.is_weighted(node) for node in branch):
                continue
            members = {*branch, product}
            if any(user not in members for node in branch for user in node.users):
                continue
            module = self._module_around(members)
            convs = tuple(node for node in branch if self.is_conv(node))
            return Gate(module or product.name, map_, product, tuple(branch), convs, module)
        return None

    def _module_around(self, members: set[fx.Node]) -> str:
        """The innermost module whose call consists of exactly ``members``, as far as the image goes; "" if none."""
        inside = {node for node in members if node in self.of_image}
        found = [path for path, nodes in self.paths.items() if set(nodes) == inside and self.takes_one_map(path)]
        return max(found, key=len, default="")


def read_structure(model: nn.Module, input_shape: tuple[int, int, int]) -> NetStructure:
    """Follow ``model`` for surgery: in train mode, and with what nothing reads, where that reaches more weights.

    An auxiliary head must be cut along, or the net would no longer train; a layer whose value nobody reads is run all
    the same.

    Raises:
        ModelError, TraceError: as :func:`cnngraph.network.graph.follow`.
    """
    structure = NetStructure(follow(model, input_shape).graph_module)
    reached = _used(structure)
    if all(id(parameter) in reached for parameter in model.parameters()):
        return structure
    try:
        trained = NetStructure(follow_symbolically(model, input_shape, training=True, unread=True))
    except TraceError:
        return (
            structure  # what train mode alone does cannot be followed, or not at this size: eval mode is what we have
        )
    return trained if reached < _used(trained) else structure


def _used(structure: NetStructure) -> set[int]:
    """Ids of the parameters of the modules that are called."""
    called = [module for node in structure.nodes if (module := structure.module(node)) is not None]
    return {id(parameter) for module in called for parameter in module.parameters()}


def _stack(node: fx.Node) -> list[str]:
    """The paths of the modules in whose calls ``node`` is made, outermost first; its own is not among them."""
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    return stack[:-1] if node.op == "call_module" and stack and stack[-1] == node.target else stack


def _is_norm(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, NORMS)


def _part(node: fx.Node) -> Part:
    return Part((node,), str(node.target) if node.op == "call_module" else "")
