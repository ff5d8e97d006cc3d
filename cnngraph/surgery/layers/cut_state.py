"""What a plan removes, as nodes of the followed net, and what was decided so far about what replaces it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from torch import fx, nn

from cnngraph.errors import PlanError
from cnngraph.surgery.layers.net_structure import Gate, NetStructure, Part, Region
from cnngraph.surgery.layers.residual import Residual

__all__ = ["CutState", "Gap", "RemovalSet", "start_cut"]


@dataclass(frozen=True)
class RemovalSet:
    """Everything that is removed, by name: what was asked for, and what has to go with it.

    The search for a rewrite that fits tries one removal set after another, each larger than the one before.

    Attributes:
        asked: the names that were asked for, as messages list them.
        convs: paths of convs. blocks: residual blocks. regions: modules that go as a whole. gates: by name.
        left_out: convs whose branch is left out of its sum. kept_width: gaps that get an adapter even though it is as
            large as the conv that was there, because other layers go with that conv.
        along: those of ``convs`` that were not asked for.
        norms_follow: whether batch norms behind the gaps may be resized, as convs are.
        notes: why something goes that nobody asked for, a sentence each.
    """

    asked: tuple[str, ...]
    convs: frozenset[str] = frozenset()
    blocks: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    gates: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    kept_width: frozenset[str] = frozenset()
    along: frozenset[str] = frozenset()
    norms_follow: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """What was asked for, as messages call it."""
        return ", ".join(self.asked)

    def with_convs(self, convs: Iterable[str], note: str) -> RemovalSet:
        """A larger set: this one and ``convs``; ``note`` says why they go."""
        more = frozenset(convs)
        return replace(self, convs=self.convs | more, along=self.along | more, notes=(*self.notes, note))

    def with_gates(self, gates: Iterable[str]) -> RemovalSet:
        """A larger set: this one and ``gates``."""
        return replace(self, gates=self.gates | frozenset(gates))


@dataclass(frozen=True)
class Gap:
    """One call of a module that is removed: its replacement reads ``source`` and returns the value of ``node``.

    ``path``: the module. ``conv``: that module where it is a conv, ``None`` for a region.
    ``target``: path of the module whose old output an adapter in this gap is fitted to.
    """

    path: str
    node: fx.Node
    source: fx.Node
    conv: nn.Conv2d | None
    target: str

    @property
    def width(self) -> int:
        """How many channels the removed module returned."""
        return int(self.node.meta["shape"][1])


@dataclass
class CutState:
    """One try: a removal set in terms of nodes, and what was decided so far to make the rest fit.

    Attributes:
        gaps: by the node whose value they replace. blocks: residual blocks that go as a whole.
        regions: the convs of each region, by its path. skipped: nodes inside of what goes, which are no longer run.
        bypassed: for each sum or product that loses an operand, the operand that is left.
        opened: paths of the convs that are the last of gates without a module of their own.
        closed: modules of gates that become identities, by their products.
        identities: nodes of the norms and activations that go with their convs. removed_norms_and_activations: the
            paths of their modules. stays: names of those that cannot go, because other layers use them too.
        adapters: paths of gaps that get an adapter.
        widened: by conv, its new width and the removed conv whose outputs it gives now. norms: by norm, the widened
            conv before it.
    """

    structure: NetStructure
    removals: RemovalSet
    gaps: dict[fx.Node, Gap]
    blocks: tuple[Residual, ...]
    skipped: set[fx.Node]
    bypassed: dict[fx.Node, fx.Node]
    regions: dict[str, tuple[fx.Node, ...]]
    opened: set[str]
    closed: dict[fx.Node, str]
    identities: set[fx.Node] = field(default_factory=set)
    removed_norms_and_activations: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    adapters: set[str] = field(default_factory=set)
    widened: dict[fx.Node, tuple[int, fx.Node]] = field(default_factory=dict)
    norms: dict[fx.Node, fx.Node] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Everything that was asked for, as messages call it."""
        return self.removals.name

    @property
    def let_through(self) -> set[fx.Node]:
        """Nodes that only pass their input on, or pool it."""
        return self.identities | set(self.gaps) | set(self.closed)

    def forget(self) -> None:
        """Take back every decision about widths, before the net is checked anew."""
        self.adapters.clear()
        self.widened.clear()
        self.norms.clear()


def start_cut(structure: NetStructure, removals: RemovalSet) -> CutState:
    """Find the nodes of ``removals``, with the norms and activations that go with its convs.

    A residual block all of whose convs go counts as a block that goes.

    Raises:
        PlanError: a gate goes that cannot be left open.
    """
    whole = {
        block.name
        for block in structure.blocks.values()
        if (names := {str(node.target) for node in block.branch_convs})
        and names <= removals.convs
        and not names & removals.left_out
        and not block.reason
    }
    blocks = tuple(block for block in structure.blocks.values() if block.name in removals.blocks | whole)
    regions = [region for name in removals.regions if (region := structure.region(name)) is not None]
    skipped = {node for block in blocks for node in block.branch}
    skipped |= {node for region in regions for node in region.inside if node is not region.leaving}
    bypassed = {block.total: block.side for block in blocks}
    opened: set[str] = set()
    closed: dict[fx.Node, str] = {}
    convs = set(removals.convs)
    for gate in structure.gates.values():
        goes = gate.name in removals.gates or any(str(conv.target) in removals.convs for conv in gate.convs)
        if not goes or gate.product in skipped:
            continue
        if gate.module:
            skipped |= set(gate.branch)
            bypassed[gate.product] = gate.source
            closed[gate.product] = gate.module
        else:
            opened.add(_last_conv(structure, removals, gate))
            convs |= {str(conv.target) for conv in gate.convs}
    inside = {region.name: region.convs for region in regions}
    state = CutState(structure, removals, {}, blocks, skipped, bypassed, inside, opened, closed)
    nodes = [node for node in structure.convs if str(node.target) in convs and node not in skipped]
    nodes = [node for node in nodes if not any(node is region.leaving for region in regions)]
    targets = _remove_norms_and_activations(state, nodes)
    for node in nodes:
        conv = structure.module(node)
        assert isinstance(conv, nn.Conv2d)
        state.gaps[node] = Gap(str(node.target), node, structure.sources(node)[0], conv, targets[node])
    for region in regions:
        if region.leaving not in skipped:
            state.gaps[region.leaving] = _region_gap(region)
    return state


def _region_gap(region: Region) -> Gap:
    return Gap(region.name, region.leaving, region.entry, None, region.name)


def _remove_norms_and_activations(state: CutState, nodes: list[fx.Node]) -> dict[fx.Node, str]:
    """Note the convs' own norms and activations as removed; return, by conv, the last of them, or the conv itself."""
    structure = state.structure
    parts: dict[fx.Node, list[Part]] = {}
    for node in nodes:
        unit = structure.unit(node)
        last = None if str(node.target) in state.opened else unit.activation
        parts[node] = [part for part in (unit.norm, last) if part is not None]
    claimed = {node for own in parts.values() for part in own for node in part.nodes}
    going = {node: [part for part in own if _all_calls(structure, part) <= claimed] for node, own in parts.items()}
    goes = [part for own in going.values() for part in own]
    state.identities = {node for part in goes for node in part.nodes}
    state.removed_norms_and_activations = tuple(dict.fromkeys(part.path for part in goes))
    state.stays = tuple(
        dict.fromkeys(part.name for node, own in parts.items() for part in own if part not in going[node])
    )
    return {node: own[-1].path if own else str(node.target) for node, own in going.items()}


def _all_calls(structure: NetStructure, part: Part) -> set[fx.Node]:
    """All nodes of the part's module; of a function, which cannot be replaced, a node that no conv ever claims."""
    if not part.path:
        return {structure.nodes[0]}
    if part.nodes[0].op == "call_module" and str(part.nodes[0].target) == part.path:
        return set(structure.calls_of[id(structure.module(part.nodes[0]))])
    return set(structure.paths[part.path])


def _last_conv(structure: NetStructure, removals: RemovalSet, gate: Gate) -> str:
    """Find the last conv of a gate: behind it are only its norm and its sigmoid.

    Raises:
        PlanError: the gate ends in something else.
    """
    node = next(source for source in gate.product.all_input_nodes if source is not gate.source)
    sigmoids = 0
    while not structure.is_weighted(node) and len(structure.sources(node)) == 1:
        made = structure.activation_module(node) if structure.is_activation(node) else None
        sigmoids += isinstance(made, nn.Sigmoid | nn.Hardsigmoid)
        if not (structure.is_norm(node) or structure.is_passing(node) or isinstance(made, nn.Sigmoid | nn.Hardsigmoid)):
            break
        node = structure.sources(node)[0]
    if not structure.is_conv(node) or sigmoids != 1:
        raise PlanError(
            f"{removals.name} cannot go: the gate {gate.name} does not end in a conv and a sigmoid.",
            "Remove other layers.",
        )
    return str(node.target)
