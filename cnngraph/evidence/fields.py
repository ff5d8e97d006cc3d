"""Where a filter's answer looks in the image: receptive fields, in pixels of the net's input.

They are composed step by step from :mod:`cnngraph.network.receptive`, so dilation, padding, pools and branches are as
they are in the net. A field that a gate over the whole map (squeeze and excite) widens is the whole image: so it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import fx

from cnngraph.network.graph import LayerGraph
from cnngraph.network.kinds import image_operands
from cnngraph.network.receptive import Look, Places, compose, identity

__all__ = ["Box", "Fields", "is_empty", "receptive_fields"]

Box = tuple[int, int, int, int]  # top, left, bottom, right, in pixels; bottom and right lie outside
Spans = npt.NDArray[np.int32]


def is_empty(box: Box) -> bool:
    """Whether there is no pixel in a box: that of a place that sees padding alone.

    >>> is_empty((0, 0, 0, 0)), is_empty((0, 0, 2, 1))
    (True, False)
    """
    top, left, bottom, right = box
    return bottom <= top or right <= left


@dataclass(frozen=True)
class Fields:
    """What the places of one layer look at: (rows, 2) and (columns, 2), first pixel and the one after the last."""

    rows: Spans
    columns: Spans

    def box(self, row: int, column: int) -> Box:
        """What one place looks at: without a pixel (:func:`is_empty`) where it sees padding alone.

        >>> spans = np.array([[0, 2], [1, 4]], dtype=np.int32)
        >>> Fields(spans, spans).box(1, 0)
        (1, 0, 4, 2)
        """
        (top, bottom), (left, right) = self.rows[row].tolist(), self.columns[column].tolist()
        return top, left, bottom, right


def receptive_fields(graph: LayerGraph) -> dict[str, Fields]:
    """By conv layer, what each of its places looks at in the image.

    A layer that does not look at the image by rows and columns any more has the whole image.
    """
    found: dict[str, Fields] = {}
    seen: dict[fx.Node, tuple[Look, Look]] = {}
    for node in graph.graph_module.graph.nodes:
        if not node.meta["of_image"]:
            continue
        places: Places = node.meta["places"]
        if node.op == "placeholder":
            seen[node] = identity(places.sizes[0]), identity(places.sizes[1])
            continue
        looks: list[tuple[Look, Look]] = []
        for operand, (row, column) in zip(image_operands(node), places.looks, strict=False):
            rows, columns = seen[operand]
            looks.append((compose(row, rows), compose(column, columns)))
        seen[node] = _either([rows for rows, _ in looks]), _either([columns for _, columns in looks])
        layer = graph.by_node[node.name]
        if layer.kind == "Conv":
            rows, columns = seen[node]
            found[layer.layer] = Fields(_spans(rows), _spans(columns))
    return found


def _either(looks: list[Look]) -> Look:
    """What one operand or the other sees; an operand of one place is repeated."""
    most = max(len(look) for look in looks)
    seen = [look if len(look) == most else np.broadcast_to(look.any(axis=0), (most, look.shape[1])) for look in looks]
    whole: Look = np.logical_or.reduce(seen)
    return whole


def _spans(look: Look) -> Spans:
    """First and last + 1 of what each place sees; (0, 0) where it sees padding alone."""
    some = look.sum(axis=1) > 0
    first = look.argmax(axis=1)
    after = look.shape[1] - look[:, ::-1].argmax(axis=1)
    return np.where(some[:, None], np.stack([first, after], axis=1), 0).astype(np.int32)
