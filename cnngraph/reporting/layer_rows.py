"""Two nets side by side: which layer of the one stands beside which of the other, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cnngraph.network.blocks import Block
    from cnngraph.network.graph import Layer, LayerGraph
    from cnngraph.network.matched_layers import LayerPair

__all__ = ["Fate", "Group", "Row", "TwoNets", "group_rows"]

# gone: only in the first net. new: only in the second. resized: other widths. replaced: another operation or window.
# placed: the nets are of different designs, in which nothing was removed; layers stand beside each other by depth.
Fate = Literal["same", "resized", "replaced", "gone", "new", "placed"]


@dataclass(frozen=True)
class TwoNets:
    """The layers of both nets and what is known of them.

    Attributes:
        a, b: the followed nets. blocks: of the first. pairs: layers of both that are counterparts.
        values: the similarity of pairs of layers; ``None``: not defined.
        related: whether names mean the same in both, so that a layer of one net alone was removed, or is new.
    """

    a: LayerGraph
    b: LayerGraph
    blocks: Sequence[Block]
    pairs: Sequence[LayerPair]
    values: Mapping[tuple[str, str], float | None]
    related: bool


@dataclass(frozen=True)
class Row:
    """One line of the diagram: a layer of the first net, one of the second, or both.

    Attributes:
        fate: what became of it. compared: whether the two were compared. value: their similarity.
        matched_by: the rule that made the pair; "" of a single layer.
        change: old and new width, window or operation, in words.
    """

    a: Layer | None
    b: Layer | None
    fate: Fate
    compared: bool = False
    value: float | None = None
    matched_by: str = ""
    change: str = ""


@dataclass(frozen=True)
class Group:
    """Lines that are folded together: a block, or a stretch of one size of images."""

    title: str
    rows: Sequence[Row]

    @property
    def changed(self) -> bool:
        """Whether any layer of it is not as it was."""
        return any(row.fate not in ("same", "placed") for row in self.rows)

    @property
    def least(self) -> float | None:
        """The least similarity in it."""
        return min((row.value for row in self.rows if row.value is not None), default=None)

    @property
    def counts(self) -> dict[str, int]:
        """How many lines of it met with each fate that is a change."""
        fates = [row.fate for row in self.rows]
        return {fate: fates.count(fate) for fate in ("gone", "new", "replaced", "resized") if fate in fates}


def group_rows(nets: TwoNets) -> list[Group]:
    """All lines in the order of the nets, folded by the blocks of the first, elsewhere by the size of its maps."""
    owner = {layer: block for block in nets.blocks if block.parent is None for layer in block.layers}
    groups: list[tuple[str, list[Row]]] = []
    title = ""
    for row in _rows(nets) if nets.related else _beside_each_other(_rows(nets)):
        if row.a is not None:
            block = owner.get(row.a.layer)
            title = f"{block.name} ({block.kind})" if block is not None else _size(row.a)
        elif not title and row.b is not None:
            title = _size(row.b)
        if not groups or groups[-1][0] != title:
            groups.append((title, []))
        groups[-1][1].append(row)
    return [Group(name, rows) for name, rows in groups]


def _rows(nets: TwoNets) -> list[Row]:
    partner = {pair.a: pair for pair in _in_order(nets)}
    crossing = [pair for pair in nets.pairs if pair.a not in partner]
    elsewhere = {pair.a: pair for pair in crossing}
    taken = {pair.b for pair in nets.pairs}
    stand_ins = {layer.layer: layer for layer in nets.b.layers if nets.related and layer.layer not in taken}
    rows: list[Row] = []
    waiting = list(nets.b.layers)
    shown: set[str] = set()

    def add_up_to(name: str | None) -> None:
        """The layers of the second net that stand before ``name`` and beside none of the first."""
        while waiting and waiting[0].layer != name:
            layer = waiting.pop(0)
            if layer.layer not in shown and layer.layer not in taken and layer.operation != "Identity":
                rows.append(Row(None, layer, "new"))
        if waiting and name is not None:
            waiting.pop(0)

    for layer in nets.a.layers:
        pair = partner.get(layer.layer) or elsewhere.get(layer.layer)
        if pair is None:
            if layer.operation != "Identity":  # which stands for what went
                rows.append(_alone(layer, stand_ins.get(layer.layer), shown))
            continue
        if pair.a in partner:
            add_up_to(pair.b)
        rows.append(_pair_row(nets, layer, nets.b.by_name[pair.b], pair))
    add_up_to(None)
    return rows


def _beside_each_other(rows: Sequence[Row]) -> Iterator[Row]:
    """The layers between two pairs, of the one net and of the other, on common lines: none was removed or is new."""
    lone: tuple[list[Layer], list[Layer]] = ([], [])

    def flush() -> Iterator[Row]:
        for one, other in zip_longest(*lone):
            yield Row(one, other, "placed")
        for side in lone:
            side.clear()

    for row in rows:
        if row.matched_by:
            yield from flush()
            yield row
            continue
        for layer, side in zip((row.a, row.b), lone, strict=True):
            if layer is not None:
                side.append(layer)
    yield from flush()


def _alone(layer: Layer, stand_in: Layer | None, shown: set[str]) -> Row:
    """A layer of the first net without a counterpart; something else may stand at its path."""
    if stand_in is None or stand_in.operation == "Identity":
        return Row(layer, None, "gone")
    shown.add(stand_in.layer)
    width = "" if stand_in.out_channels is None else f" {stand_in.out_channels}"
    return Row(layer, stand_in, "replaced", change=f"by {stand_in.operation}{width}")


def _pair_row(nets: TwoNets, a: Layer, b: Layer, pair: LayerPair) -> Row:
    key = (a.layer, b.layer)
    fate, change = _fate(a, b) if pair.matched_by != "depth" else ("placed", "")
    return Row(a, b, fate, key in nets.values, nets.values.get(key), pair.matched_by, change)


def _fate(a: Layer, b: Layer) -> tuple[Fate, str]:
    windows = [(one.kernel, one.stride, one.groups) for one in (a, b)]
    if a.operation != b.operation:
        return "replaced", f"{a.operation} → {b.operation}"
    if windows[0] != windows[1] and not (a.groups == a.out_channels and b.groups == b.out_channels):
        return "replaced", f"{_window(a)} → {_window(b)}"
    if a.out_channels != b.out_channels:
        return "resized", f"{a.out_channels} → {b.out_channels}"
    if a.in_channels != b.in_channels:
        return "resized", f"reads {a.in_channels} → {b.in_channels}"
    return "same", ""


def _in_order(nets: TwoNets) -> list[LayerPair]:
    """The longest run of pairs that rise in both nets: those that can stand on one line without crossing others."""
    places = [nets.b.by_name[pair.b].index for pair in nets.pairs]
    best: list[int] = []
    before: list[int] = []
    for place, value in enumerate(places):
        earlier = [other for other in range(place) if places[other] < value]
        previous = max(earlier, key=lambda other: best[other], default=-1)
        best.append(1 + (best[previous] if previous >= 0 else 0))
        before.append(previous)
    at = max(range(len(best)), key=lambda place: best[place], default=-1)
    chosen: list[LayerPair] = []
    while at >= 0:
        chosen.append(nets.pairs[at])
        at = before[at]
    return chosen[::-1]


def _size(layer: Layer) -> str:
    if layer.out_height is None or layer.out_width is None:
        return "without places"
    return f"{layer.out_height} x {layer.out_width}"


def _window(layer: Layer) -> str:
    kernel = "x".join(map(str, layer.kernel)) if layer.kernel else "-"
    stride = f" stride {layer.stride[0]}" if layer.stride and layer.stride != (1, 1) else ""
    groups = f" groups {layer.groups}" if layer.groups not in (None, 1) else ""
    return f"{kernel}{stride}{groups}"
