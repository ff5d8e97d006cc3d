"""The removals of one cut as nodes of the followed net, and the widths that sums demand of the convs before them."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.surgery.anatomy import Block, Body, module_path

__all__ = ["SizeMismatchError", "WidthMismatchError", "Wound", "label", "open_wound", "widen"]


class SizeMismatchError(Exception):
    """Two maps of other sizes meet where they had the same: try again with passages that keep the size exactly."""


class WidthMismatchError(Exception):
    """A sum's side has another width than before."""

    def __init__(self, total: fx.Node, side: fx.Node, width: int) -> None:
        super().__init__()
        self.total, self.side, self.width = total, side, width


@dataclass
class Wound:
    """The removals as sets of nodes, and the widths that were decided on so far.

    Attributes:
        convs: those that go by themselves, with their paths. blocks: residual blocks that go as a whole.
        silent: norms and activations that go. stays: names of those that cannot.
        widened: by conv: its new width and the removed conv that it stands in for. norms: by norm: its widened conv.
    """

    body: Body
    convs: dict[fx.Node, str]
    blocks: tuple[Block, ...]
    silent: set[fx.Node]
    stays: list[str]
    widened: dict[fx.Node, tuple[int, fx.Node]] = field(default_factory=dict)
    norms: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.skipped = {node for block in self.blocks for node in block.branch}
        self.bypassed = {block.total: block.side for block in self.blocks}

    @property
    def name(self) -> str:
        """Everything that goes, as messages call it."""
        return ", ".join([*(block.name for block in self.blocks), *self.convs.values()])

    @property
    def quiet(self) -> set[fx.Node]:
        """Nodes that let their input pass, or pool it."""
        return self.silent | set(self.convs)


def open_wound(body: Body, convs: set[str], blocks: set[str]) -> Wound:
    """The removals with the norms and activations that go with them; whole branches become blocks."""
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
    return Wound(body, nodes, gone, silent, stays)


def widen(wound: Wound, error: WidthMismatchError) -> None:
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
        f"{wound.name} cannot go: the sum {label(error.total)} needs {error.width} channels on both sides, "
        f"and {reason}.",
        "Remove the whole block, or another layer.",
    )


def label(node: fx.Node) -> str:
    """How a step is called in messages: a module's path, or a function's name and the module that calls it."""
    if node.op == "call_module":
        return str(node.target)
    home = module_path(node)
    return f"{node.name} in {home}" if home else node.name
