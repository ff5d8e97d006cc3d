"""Networks to measure: the toys of the method's golden numbers, and random small ones for hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from cnngraph.network.tables import SCHEMAS, Details, Network, empty_table

Arc = tuple[int, int]


def network(
    sizes: Sequence[int],
    arcs: Sequence[Arc],
    activation: Sequence[Sequence[float]],
    *,
    classes: int,
    activation_all: Sequence[float] | None = None,
) -> Network:
    """Convs conv1.. with so many positions each, numbered 1.. through; ``activation`` of all but the last layer's."""
    layer_of = [f"conv{i}" for i, size in enumerate(sizes, 1) for _ in range(size)]
    sources = len(layer_of) - sizes[-1]
    positions = [
        {
            "number": number,
            "layer": layer,
            "x": 0,
            "y": number - layer_of.index(layer) - 1,
            "activation": list(activation[number - 1]) if number <= sources else None,
            "activation_all": activation_all[number - 1] if activation_all and number <= sources else None,
        }
        for number, layer in enumerate(layer_of, 1)
    ]
    joined = set(pairwise(range(1, len(sizes) + 1)))
    joined |= {(int(layer_of[a - 1][4:]), int(layer_of[b - 1][4:])) for a, b in arcs}
    layers = [conv(i, f"conv{i + 1}", out_width=size) for i, size in enumerate(sizes)]
    return assemble(
        layers=layers,
        feeds=[feed(f"conv{a}", f"conv{b}") for a, b in sorted(joined)],
        positions=positions,
        arcs=[{"source": source, "target": target} for source, target in sorted(set(arcs))],
        classes=[{"index": k, "name": f"class{k}", "images": 1} for k in range(classes)],
    )


def conv(index: int, name: str, *, kind: str = "Conv", out_width: int = 1) -> dict[str, Any]:
    """One row of ``layers``."""
    numbers = {"index": index, "parameters": 0, "macs": 0, "out_height": 1, "out_width": out_width}
    return numbers | {"layer": name, "kind": kind, "operation": "Conv2d", "in_channels": 1, "out_channels": 1}


def feed(source: str, target: str) -> dict[str, Any]:
    """One row of ``feeds``."""
    return {"source": source, "target": target, "port": 0, "omitted": 0, "omitted_share": 0.0}


def assemble(**rows: list[dict[str, Any]]) -> Network:
    """A Network of these rows; tables that are not named are empty."""
    tables = {name: empty_table(name) for name in SCHEMAS}
    tables |= {name: pa.Table.from_pylist(given, schema=SCHEMAS[name]) for name, given in rows.items()}
    return Network(details=Details(architecture="tests:random", input_shape=(1, 4, 4)), **tables)


def toy_4x4(classes: int = 1) -> Network:
    """4x4 -> conv A 3x3 same -> conv B 3x3 same, all activations 1: A has the 4 inner positions, B all 16, 36 arcs."""
    inner = [(x, y) for x in (1, 2) for y in (1, 2)]
    whole = [(x, y) for x in range(4) for y in range(4)]
    arcs = [
        (i, len(inner) + j)
        for i, (x, y) in enumerate(inner, 1)
        for j, (u, v) in enumerate(whole, 1)
        if abs(x - u) <= 1 and abs(y - v) <= 1
    ]
    return network([4, 16], arcs, [[1.0] * classes] * 4, classes=classes, activation_all=[1.0] * 4)


@st.composite
def networks(draw: st.DrawFn, *, signed: bool = False, known_all: bool = False, exact: bool = False) -> Network:
    """Two to four convs of one to five positions with arcs forward, also over a layer; one to four classes.

    With ``exact`` there is one class and weights are powers of two, whose inverses have exact sums in any order.
    """
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    classes = 1 if exact else draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first = np.concatenate([[1], 1 + np.cumsum(sizes)])
    layer = np.repeat(np.arange(len(sizes)), sizes)
    total = int(first[-1]) - 1
    arcs = [
        (a + 1, b + 1)
        for a in range(total)
        for b in range(total)
        if layer[a] < layer[b] and rng.random() < (0.7 if layer[b] == layer[a] + 1 else 0.2)
    ]
    sources = total - sizes[-1]
    # Multiples of 1/4 are exact in sums, and they tie; zeros are dead positions.
    values = rng.integers(-4 if signed else 0, 9, size=(sources, classes)) / 4
    if exact:
        values = np.where(values == 0, 0.0, 2.0 ** np.round(values))
    elif draw(st.booleans()):
        values = values * rng.random((sources, classes))
    activation_all = (values.mean(axis=1)).tolist() if known_all else None
    return network(sizes, arcs, values.tolist(), classes=classes, activation_all=activation_all)
