"""The parts of a block that one layer is to replace: its main branch, the conv that would do, what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.network.blocks import Block
from cnngraph.network.graph import Layer, LayerGraph
from cnngraph.plan import Removal, Replacement
from cnngraph.surgery.edits import Edit
from cnngraph.surgery.layers.net_structure import NetStructure, Part
from cnngraph.surgery.layers.one_layer import ConvSpec
from cnngraph.surgery.layers.residual import Residual, branch_of

__all__ = ["BlockParts", "BlockReplacement"]

_HINT = "Replace another block: cnngraph show NAME --blocks"
_BEYOND = 6  # so much larger than the kernel may a padding be


@dataclass(frozen=True, eq=False)
class BlockReplacement:
    """One block and the layer that takes its place.

    Attributes:
        block: its name. layer: path of the new conv. norm: path of the norm behind it, which belongs to it; or "".
        conv: the new conv. replacement: what the plan says of it, with nothing left open.
        target: path of the module of the old net whose output the new conv is to give.
        convs: paths of the convs that it replaces, in network order; the last gives the block's output.
        gone: paths of all layers that are not the old net's any more.
        renewed: whether that norm is none of the block's.
        places: of the layers that it replaces, in the net's order. edits: what changes, with a reason each.
    """

    block: str
    layer: str
    norm: str
    conv: ConvSpec
    replacement: Replacement
    target: str
    convs: tuple[str, ...]
    gone: tuple[str, ...]
    places: frozenset[int] = field(repr=False)
    edits: tuple[Edit, ...] = field(repr=False)
    renewed: bool = False

    @property
    def fitted(self) -> frozenset[str]:
        """Paths of the layers that are new."""
        return frozenset({self.layer, self.norm} - {""})


@dataclass(frozen=True, eq=False)
class BlockParts:
    """What replacing ``block`` by what ``removal`` says asks of a followed net."""

    graph: LayerGraph
    structure: NetStructure
    block: Block
    removal: Removal

    @cached_property
    def nodes(self) -> list[fx.Node]:
        """Its steps in network order."""
        by_name = {node.name: node for node in self.structure.nodes}
        # A conv with a forward of its own is one step for surgery and several layers.
        own = {str(node.target): node for node in self.structure.nodes if node.op == "call_module"}
        layers = [self.graph.by_name[name] for name in self.block.layers]
        found = [by_name.get(layer.node) or own.get(layer.layer) for layer in layers]
        return sorted({node for node in found if node is not None}, key=self.structure.order.__getitem__)

    @property
    def in_words(self) -> str:
        """Why something changes, as edits say it."""
        return f"{self.removal.new_layer.in_words} stands for all of the block {self.block.name}"

    def refused(self, why: str) -> PlanError:
        """The error that says why it cannot be replaced."""
        return PlanError(f"The block {self.block.name} cannot be replaced: {why}.", _HINT)

    def residual(self) -> Residual | None:
        """The block as surgery has it, where it has a module of its own."""
        return self.structure.blocks.get(self.block.name) if self.block.kind == "residual" else None

    def main_branch(self, residual: Residual | None) -> list[fx.Node]:
        """The steps that the new layer replaces, in network order; of a residual block the way with more convs.

        Raises:
            PlanError: no way of a residual block is the shortcut.
        """
        if self.block.kind != "residual":
            return self.nodes
        if residual is not None:
            counts = [
                sum(self.structure.is_conv(node) for node in part) for part in (residual.branch, residual.shortcut)
            ]
            if counts[0] <= counts[1]:
                raise self.refused("both ways to its sum have as many convs, so that none is the shortcut")
            return sorted(residual.branch, key=self.structure.order.__getitem__)
        exit_node = self.graph.by_name[self.block.exit].node
        total = next(node for node in self.structure.nodes if node.name == exit_node)
        branch = branch_of(self.structure, total)
        if branch is None:
            raise self.refused("none of the ways to its sum has more convs than the other, or is alone in using them")
        ends = self.structure.order[branch.convs[0]], self.structure.order[branch.convs[-1]]
        return [n for n in self.nodes if ends[0] <= self.structure.order[n] <= ends[1] and n in self._upstream(total)]

    def _upstream(self, total: fx.Node) -> set[fx.Node]:
        entry = self.graph.by_name[self.block.entry].node
        start = next(node for node in self.structure.nodes if node.name == entry)
        ways = [set(self.structure.upstream(side, start) or ()) for side in total.all_input_nodes]
        return max(ways, key=lambda way: sum(self.structure.is_conv(node) for node in way))

    def line(self, first: fx.Node, last: fx.Node) -> list[fx.Node] | None:
        """The steps from ``first`` to ``last``, if they are a chain whose inner steps can all become identities."""
        line = [last]
        while line[-1] is not first:
            sources = self.structure.sources(line[-1])
            if len(sources) != 1 or len(self.structure.readers(sources[0])) != 1:
                return None
            line.append(sources[0])
        line.reverse()
        if self.structure.calls(first) != 1:
            return None
        return line if all(self.path_of(node) or self._may_stay(node, last) for node in line[1:]) else None

    def path_of(self, node: fx.Node) -> str:
        """The path of the module that does what the step does, and that alone; "" where there is none."""
        if node.op == "call_module":
            return str(node.target) if self.structure.calls(node) == 1 else ""
        return self._parts.get(node, "")

    @cached_property
    def _parts(self) -> dict[fx.Node, str]:
        """The steps of norms with a forward of their own, by their modules."""
        units = [self.structure.unit(node) for node in self.nodes if self.structure.is_conv(node)]
        norms = [unit.norm for unit in units if unit.norm is not None and len(unit.norm.nodes) > 1]
        alone = [part for part in norms if part.path and self.structure.calls_within(part.path) == 1]
        return {node: part.path for part in alone for node in part.nodes}

    def _may_stay(self, node: fx.Node, last: fx.Node) -> bool:
        """Whether a step may stay where it is: an activation after which that at the end of the block does nothing."""
        end = self.structure.unit(last)
        if not self.structure.is_activation(node) or end.norm is not None or end.activation is None:
            return False
        return self.structure.is_already_activated(node, end.activation.nodes[0], ())

    def conv(self, entry: fx.Node, leaving: fx.Node, bias: bool) -> ConvSpec:
        """A conv that makes maps of the size and channels of ``leaving`` from those of ``entry``.

        Raises:
            PlanError: none does, with any padding.
        """
        (_, inputs, *before), (_, outputs, *after) = entry.meta["shape"], leaving.meta["shape"]
        kernel, given = self.removal.new_layer.kernel, self.removal.new_layer.stride
        strides = [given] if given else [self._stride(entry, leaving), _ratio(before, after)]
        for stride in strides:
            padding = [_padding(*sizes, kernel) for sizes in zip(before, after, stride, strict=True)]
            if None not in padding:
                rows, columns = (one or 0 for one in padding)
                return ConvSpec(inputs, outputs, kernel, (stride[0], stride[1]), (rows, columns), bias)
        sizes = f"{after[0]} x {after[1]} from {before[0]} x {before[1]}"
        with_stride = f" with stride {given[0]} x {given[1]}" if given else ""
        raise self.refused(f"one {kernel}x{kernel} conv{with_stride} makes no maps of {sizes}")

    def _stride(self, entry: fx.Node, leaving: fx.Node) -> tuple[int, int]:
        """The product of the strides between ``entry`` and ``leaving``; where ways meet, along the largest map."""
        stride = [1, 1]
        layer: Layer | None = self.graph.by_node.get(leaving.name)
        while layer is not None and layer.node != entry.name:
            if layer.kind in ("Conv", "Pool") and layer.stride is not None:
                stride = [old * new for old, new in zip(stride, layer.stride, strict=True)]
            before = self.graph.predecessors(layer.layer)
            layer = max(before, key=lambda one: (one.out_height or 0) * (one.out_width or 0), default=None)
        return stride[0], stride[1]

    def said(self, conv: ConvSpec, norm: nn.Module | None, activation: nn.Module | None) -> Replacement:
        """What the plan says of the new layer, with nothing left open."""
        words = [None if module is None else type(module).__name__ for module in (norm, activation)]
        changes = {"stride": conv.stride, "norm": words[0], "activation": words[1]}
        return self.removal.new_layer.model_copy(update=changes)

    def norm(self, part: Part | None) -> str:
        """The path of the norm that belongs to the new layer alone; "" where there is none."""
        return "" if part is None else self.path_of(part.nodes[0])

    def module(self, part: Part | None) -> nn.Module | None:
        """A module that does what a norm or activation does."""
        if part is None:
            return None
        node = part.nodes[0]
        return self.structure.activation_module(node) if self.structure.is_activation(node) else self._of_norm(part)

    def _of_norm(self, part: Part) -> nn.Module | None:
        path = self.path_of(part.nodes[0])
        return self.structure.graph_module.get_submodule(path) if path else self.structure.module(part.nodes[0])

    def require_inner(self, nodes: Sequence[fx.Node]) -> None:
        """Return unless one of ``nodes`` gives the net's output; raises PlanError where it does."""
        output = next((node for node in self.structure.output_layers if node in set(nodes)), None)
        if output is not None:
            raise self.refused(f"{output.target} in it gives the net's output")


def _padding(before: int, after: int, stride: int, kernel: int) -> int | None:
    """The padding with which a conv makes ``after`` places of ``before``; ``None`` where there is none."""
    usual = kernel // 2
    paddings = [usual, *(one for one in range(kernel + _BEYOND) if one != usual)]
    return next((one for one in paddings if (before + 2 * one - kernel) // stride + 1 == after), None)


def _ratio(before: Sequence[int], after: Sequence[int]) -> tuple[int, int]:
    rows, columns = (max(round(old / new), 1) for old, new in zip(before, after, strict=True))
    return rows, columns
