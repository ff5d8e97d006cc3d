"""Positions and arcs of the ``multilayer`` method: who looks at whom, place by place.

Source: Amelio et al., Cognitive Computation 2022, doi 10.1007/s12559-022-10084-6, and its reference implementation for
the nodes. The arcs follow the true receptive field, composed through whatever lies between two convolutions (our
generalisation); on VGG they are the reference's, edge for edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import fx

from cnngraph.network.graph import LayerGraph
from cnngraph.network.kinds import image_operands
from cnngraph.network.receptive import Look, Places, compose, identity

__all__ = ["Grid", "Topology", "positions_and_arcs"]

Field = tuple[Look, Look]
"""One way of looking back at a convolution: matrices [place, place of the convolution] for rows and for columns."""


@dataclass(frozen=True)
class Grid:
    """The positions of one convolution: the interior of its output.

    Attributes:
        layer: the convolution's name.
        size: (height, width) of its output.
        margin: (rows, columns) left out on each side: ``(k - 1) // 2`` for the patch.
        patch: (kh, kw), the largest kernel per axis over the next convolutions; (1, 1) where there is none.
        rows, columns: the coordinates kept; the positions are their product, row by row.
        first: number of the first position (numbers count 1.. over all layers).
        source: whether another convolution follows; else its positions have no weight.
    """

    layer: str
    size: tuple[int, int]
    margin: tuple[int, int]
    patch: tuple[int, int]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    first: int
    source: bool

    @property
    def count(self) -> int:
        """How many positions."""
        return len(self.rows) * len(self.columns)

    @property
    def x(self) -> NDArray[np.int32]:
        """The row of each position, in order of their numbers."""
        return np.repeat(self.rows, len(self.columns))

    @property
    def y(self) -> NDArray[np.int32]:
        """The column of each position, in order of their numbers."""
        return np.tile(self.columns, len(self.rows))

    @property
    def numbers(self) -> NDArray[np.int32]:
        """The numbers of the positions."""
        return np.arange(self.first, self.first + self.count, dtype=np.int32)


@dataclass(frozen=True)
class Topology:
    """Positions by convolution, in network order, and arcs sorted by (source, target) number."""

    grids: tuple[Grid, ...]
    source: NDArray[np.int32]
    target: NDArray[np.int32]

    @property
    def positions(self) -> int:
        """How many positions."""
        return sum(grid.count for grid in self.grids)

    @property
    def by_layer(self) -> dict[str, Grid]:
        """Grids by the name of their convolution."""
        return {grid.layer: grid for grid in self.grids}


def positions_and_arcs(graph: LayerGraph) -> Topology:
    """The position network of a followed net.

    Examples: VGG16 at 224 pixels has 134,028 positions and 1,178,948 arcs.
    """
    fields = _fields(graph)
    next_kernels: dict[str, list[tuple[int, int]]] = {conv.layer: [] for conv in graph.convs}
    for target, looked_at in fields.items():
        for source in looked_at:
            next_kernels[source].append(graph.by_name[target].kernel or (1, 1))
    grids: dict[str, Grid] = {}
    first = 1
    for conv in graph.convs:
        grids[conv.layer] = _grid(
            conv.layer, (conv.out_height or 1, conv.out_width or 1), next_kernels[conv.layer], first
        )
        first += grids[conv.layer].count
    bits = first.bit_length()
    codes = [
        _arcs(grids[source], grids[target], pairs, bits)
        for target, looked_at in fields.items()
        for source, pairs in looked_at.items()
    ]
    arcs = np.concatenate(codes) if codes else np.empty(0, np.int64)
    arcs.sort()
    sources, targets = (arcs >> bits).astype(np.int32), (arcs & ((1 << bits) - 1)).astype(np.int32)
    return Topology(tuple(grids.values()), sources, targets)


def _grid(layer: str, size: tuple[int, int], kernels: list[tuple[int, int]], first: int) -> Grid:
    patch = (max((k[0] for k in kernels), default=1), max((k[1] for k in kernels), default=1))
    margin = ((patch[0] - 1) // 2, (patch[1] - 1) // 2)
    rows, columns = (_interior(size[axis], margin[axis]) for axis in (0, 1))
    return Grid(layer, size, margin, patch, rows, columns, first, bool(kernels))


def _interior(size: int, margin: int) -> NDArray[np.int32]:
    """Coordinates at least ``margin`` from both ends; where there are none, the one nearest to the margin (ours)."""
    if size > 2 * margin:
        return np.arange(margin, size - margin, dtype=np.int32)
    return np.array([min(margin, size - 1)], dtype=np.int32)


def _fields(graph: LayerGraph) -> dict[str, dict[str, list[Field]]]:
    """For each convolution, the convolutions that its input comes from and every way of looking back at them."""
    found: dict[str, dict[str, list[Field]]] = {}
    seen: dict[fx.Node, dict[str, list[Field]]] = {}
    for node in graph.graph_module.graph.nodes:
        if not node.meta["of_image"]:
            continue
        places: Places = node.meta["places"]
        value: dict[str, list[Field]] = {}
        for operand, (look_x, look_y) in zip(image_operands(node), places.looks, strict=False):
            for source, fields in seen[operand].items():
                for rows, columns in fields:
                    _add(value.setdefault(source, []), (compose(look_x, rows), compose(look_y, columns)))
        layer = graph.by_node[node.name]
        if layer.kind == "Conv":
            found[layer.layer] = value
            value = {layer.layer: [(identity(places.sizes[0]), identity(places.sizes[1]))]}
        seen[node] = value
    return found


def _add(fields: list[Field], new: Field) -> None:
    """Keep only what no other way of looking contains."""
    if any(_contains(old, new) for old in fields):
        return
    fields[:] = [old for old in fields if not _contains(new, old)] + [new]


def _contains(large: Field, small: Field) -> bool:
    return all(a is b or (a.shape == b.shape and bool((a >= b).all())) for a, b in zip(large, small, strict=True))


def _arcs(source: Grid, target: Grid, fields: list[Field], bits: int) -> NDArray[np.int64]:
    """Arcs between two grids as ``source << bits | target``, each once: such numbers sort as pairs do."""
    codes = []
    for rows, columns in fields:
        target_row, source_row = np.nonzero(rows[np.ix_(target.rows, source.rows)])
        target_column, source_column = np.nonzero(columns[np.ix_(target.columns, source.columns)])
        of_rows = (source_row * len(source.columns) << bits) + target_row * len(target.columns)
        of_columns = (source_column + source.first << bits) + target_column + target.first
        codes.append(np.add.outer(of_rows, of_columns).ravel())
    return codes[0] if len(codes) == 1 else np.unique(np.concatenate(codes))
