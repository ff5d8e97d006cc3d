"""Networks made of nothing: small ones with every oddity that the spec allows, and the golden VGG16 at 224.

No torch: positions and arcs follow the reference rule of Amelio et al. (Cognitive Computation 2022), values are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cnngraph.measures.accuracy_reduction import find_served
from cnngraph.network.tables import KERNEL, SCHEMAS, Details, Network, empty_table

__all__ = ["small_network", "vgg16_224", "vgg16_positions", "with_car"]

Integers = npt.NDArray[np.int64]

# name, kind, operation, side of the output, channels; then who feeds whom, by port
_SMALL = (
    ("x", "Input", "placeholder", 8, 3),
    ("conv1", "Conv", "Conv2d", 8, 4),
    ("relu", "Activation", "ReLU", 8, 4),
    ("pool", "Pool", "MaxPool2d", 4, 4),
    ("block.conv2", "Conv", "Conv2d", 4, 4),
    ("relu#2", "Activation", "ReLU", 4, 4),
    ("add", "Add", "add", 4, 4),
    ("mul", "Other", "mul", 4, 4),
    ("block.conv3", "Conv", "Conv2d", 4, 5),
    ("flatten", "Flatten", "flatten", None, 80),
    ("fc", "Linear", "Linear", None, 3),
)
_SMALL_FEEDS = (
    ("x", "conv1", 0),
    ("conv1", "relu", 0),
    ("relu", "pool", 0),
    ("pool", "block.conv2", 0),
    ("block.conv2", "relu#2", 0),
    ("pool", "add", 0),
    ("relu#2", "add", 1),
    ("add", "mul", 0),
    ("add", "mul", 1),
    ("mul", "block.conv3", 0),
    ("block.conv3", "flatten", 0),
    ("flatten", "fc", 0),
)
_SMALL_CONNECTS = (
    ("x", "conv1"),
    ("conv1", "block.conv2"),
    ("conv1", "add"),
    ("block.conv2", "add"),
    ("add", "block.conv3"),
    ("block.conv3", "fc"),
)
_SMALL_GROUPS: tuple[dict[str, Any], ...] = (
    {"index": 0, "layers": ["conv1", "block.conv2"], "channels": [0, 0], "fixed": None},
    {"index": 1, "layers": ["conv1", "block.conv2"], "channels": [3, 3], "fixed": "they are what the net gives"},
    {"index": 2, "layers": ["block.conv3"], "channels": [1], "fixed": "it may mix them"},
)
_SMALL_BLOCKS: tuple[dict[str, Any], ...] = (
    {
        "index": 0,
        "name": "add",
        "kind": "residual",
        "entry": "pool",
        "exit": "add",
        "layers": ["block.conv2", "relu#2", "add"],
        "module": None,
        "parent": None,
    },
    {
        "index": 1,
        "name": "inner",
        "kind": "chain",
        "entry": "pool",
        "exit": "relu#2",
        "layers": ["block.conv2", "relu#2"],
        "module": None,
        "parent": "add",
    },
)
_WITH_MAPS = ("Input", "Conv", "Linear", "Add")


def small_network(seed: int = 0, *, classes: int = 3, view: str = "both", kernels: bool = False) -> Network:
    """A net of eleven layers with a sum, a double edge and a module that is called twice.

    Args:
        seed: of all values.
        classes: how many there are; the last one has no count of images.
        view: channels, positions or both.
        kernels: give the connections their raw kernels.
    """
    random = np.random.default_rng(seed)
    layers = _small_layers()
    maps = _small_maps(random, classes)
    connects = _small_connects(random, kernels)
    positions, arcs = _grid([("conv1", 8, 3), ("block.conv2", 4, 3), ("block.conv3", 4, 1)], random, classes)
    skips = _arcs_between(positions, "conv1", "block.conv3", 8, 4, 3)
    arcs = _sorted_arcs(np.concatenate([arcs, skips]))
    details = Details(
        architecture="python:nets.small:build",
        input_shape=(3, 8, 8),
        recipe={"architecture": "python:nets.small:build", "options": {"classes": classes}, "plans": []},
        preprocessing={"size": [8, 8], "mean": [0.5], "std": [0.25]} if seed % 2 else None,
        dataset="digits",
        view=view,
        parameters=619,
        macs=23_456,
        inputs={"seed": seed, "weights": "sha256:0" if seed % 2 else "sha256:1", "view": view, "classes": classes},
    )
    channels, places = view != "positions", view != "channels"
    return Network(
        details=details,
        layers=layers,
        feeds=_feeds(_SMALL_FEEDS, random),
        feature_maps=maps if channels else empty_table("feature_maps"),
        connects=connects if channels else empty_table("connects"),
        resembles=_small_resembles(random) if channels else empty_table("resembles"),
        positions=positions if places else empty_table("positions"),
        arcs=_table("arcs", {"source": arcs[:, 0], "target": arcs[:, 1]}) if places else empty_table("arcs"),
        classes=_classes(classes),
        blocks=_table("blocks", _columns(_SMALL_BLOCKS, "blocks")),
        tensors=_small_tensors() if kernels and channels else empty_table("tensors"),
        coupling_groups=(
            _table("coupling_groups", _columns(_SMALL_GROUPS, "coupling_groups"))
            if channels
            else empty_table("coupling_groups")
        ),
    )


def vgg16_224(seed: int = 0, *, classes: int = 10) -> Network:
    """The position network of VGG16 at 224: 134,028 positions, 1,178,948 arcs, random activations."""
    return vgg16_positions(224, seed, classes=classes)


def vgg16_positions(side: int, seed: int = 0, *, classes: int = 10) -> Network:
    """The position network of VGG16 for square images of ``side`` pixels (a multiple of 16), random activations."""
    random = np.random.default_rng(seed)
    sides = [side] * 2 + [side // 2] * 2 + [side // 4] * 3 + [side // 8] * 3 + [side // 16] * 3
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    names = [f"features.{index}" for index in indices]
    inputs = [3, *widths[:-1]]
    layers = [_layer(0, "input", "Input", "placeholder", side, None, 3)]
    for index, (name, own, before, width) in enumerate(zip(names, sides, inputs, widths, strict=True), start=1):
        layers.append(_layer(index, name, "Conv", "Conv2d", own, before, width))
    positions, arcs = _grid(list(zip(names, sides, [3] * 12 + [1], strict=True)), random, classes)
    details = Details(
        architecture="torchvision:vgg16",
        input_shape=(3, side, side),
        dataset="synthetic",
        view="positions",
        inputs={"seed": seed, "side": side, "classes": classes},
    )
    return Network(
        details=details,
        layers=_table("layers", _columns(layers, "layers")),
        feeds=_feeds([(a, b, 0) for a, b in zip(["input", *names], names, strict=False)], random),
        feature_maps=empty_table("feature_maps"),
        connects=empty_table("connects"),
        resembles=empty_table("resembles"),
        positions=positions,
        arcs=_table("arcs", {"source": arcs[:, 0], "target": arcs[:, 1]}),
        classes=_classes(classes),
    )


def _layer(
    index: int, name: str, kind: str, operation: str, side: int | None, before: int | None, channels: int
) -> dict[str, Any]:
    conv = kind == "Conv"
    functional = kind in ("Input", "Add", "Other", "Flatten")
    return {
        "index": index,
        "layer": name,
        "kind": kind,
        "operation": operation,
        "module": None if functional else name.partition("#")[0],
        "shared_with": name.partition("#")[0] if "#" in name else None,
        "in_channels": before,
        "out_channels": channels,
        "kernel": [3, 3] if conv else None,
        "stride": [1, 1] if conv else None,
        "padding": [1, 1] if conv else None,
        "dilation": [1, 1] if conv else None,
        "groups": 1 if conv else None,
        "out_height": side,
        "out_width": side,
        "parameters": 9 * (before or 0) * channels + channels if conv else 0,
        "macs": 9 * (before or 0) * channels * (side or 1) ** 2 if conv else 0,
    }


def _small_layers() -> pa.Table:
    before = {"conv1": 3, "block.conv2": 4, "block.conv3": 4, "fc": 80}
    rows = [
        _layer(i, name, kind, operation, side, before.get(name), channels)
        for i, (name, kind, operation, side, channels) in enumerate(_SMALL)
    ]
    return _table("layers", _columns(rows, "layers"))


def _small_maps(random: np.random.Generator, classes: int) -> pa.Table:
    rows = []
    for name, kind, _, _, channels in _SMALL:
        if kind not in _WITH_MAPS:
            continue
        rows += [
            {
                "layer": name,
                "channel": channel,
                "l1": float(random.random()),
                "l2": float(random.random()),
                "activation": random.normal(size=classes).tolist() if kind != "Input" else None,
                "apoz": float(random.random()) if kind == "Conv" else None,
                "strength_in": float(random.random()),
                "strength_out": float(random.random()),
            }
            for channel in range(channels)
        ]
    return _table("feature_maps", _columns(rows, "feature_maps"))


def _small_connects(random: np.random.Generator, kernels: bool) -> pa.Table:
    channels = {name: count for name, _, _, _, count in _SMALL}
    rows = []
    for target in ("conv1", "block.conv2", "add", "block.conv3", "fc"):
        sources = [source for source, end in _SMALL_CONNECTS if end == target]
        for to in range(channels[target]):
            first = 0
            for source in sources:
                for channel in [to] if target == "add" else range(channels[source]):
                    weight = 1.0 if target == "add" else float(random.random())
                    kernel = random.random(9, dtype=np.float32).tolist() if kernels and target != "add" else None
                    rows.append((source, channel, target, to, first + channel, weight, kernel))
                first += channels[source]
    schema = SCHEMAS["connects"].append(KERNEL) if kernels else SCHEMAS["connects"]
    columns = list(zip(*rows, strict=True))[: len(schema)]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _small_tensors() -> pa.Table:
    """A weight that the kernels hold, one that only its bytes hold, and a scalar."""
    columns = {
        "index": [0, 1, 2],
        "name": ["conv1.weight", "conv1.bias", "norm.num_batches_tracked"],
        "dtype": ["float32", "float32", "int64"],
        "shape": [[4, 3, 3, 3], [4], []],
        "layer": ["conv1", "conv1", None],
        "data": [None, np.arange(4, dtype=np.float32).tobytes(), np.int64(7).tobytes()],
    }
    return _table("tensors", columns)


def _small_resembles(random: np.random.Generator) -> pa.Table:
    rows = [
        ("conv1", 0, "conv1", 2, "within"),
        ("conv1", 0, "block.conv2", 1, "across"),
        ("block.conv2", 3, "block.conv3", 4, "across"),
    ]
    return _table(
        "resembles",
        {
            "source_layer": [row[0] for row in rows],
            "source_channel": [row[1] for row in rows],
            "target_layer": [row[2] for row in rows],
            "target_channel": [row[3] for row in rows],
            "correlation": random.uniform(-1, 1, len(rows)),
            "scope": [row[4] for row in rows],
        },
    )


def _feeds(edges: Sequence[tuple[str, str, int]], random: np.random.Generator) -> pa.Table:
    return _table(
        "feeds",
        {
            "source": [edge[0] for edge in edges],
            "target": [edge[1] for edge in edges],
            "port": [edge[2] for edge in edges],
            "omitted": random.integers(0, 5, len(edges)),
            "omitted_share": random.random(len(edges)),
        },
    )


def _classes(count: int) -> pa.Table:
    images: list[int | None] = [7 + index for index in range(count)]
    images[-1] = None
    return _table(
        "classes", {"index": range(count), "name": [f"class {index} é" for index in range(count)], "images": images}
    )


def _grid(
    convs: Sequence[tuple[str, int, int]], random: np.random.Generator, classes: int
) -> tuple[pa.Table, Integers]:
    """Positions and arcs of a chain of convs given as (name, side of its output, kernel of the *next* conv)."""
    layers, xs, ys, first = [], [], [], [1]
    for name, side, following in convs:
        inside = _inside(side, following)
        layers += [name] * len(inside) ** 2
        xs.append(np.repeat(inside, len(inside)))
        ys.append(np.tile(inside, len(inside)))
        first.append(first[-1] + len(inside) ** 2)
    count = len(layers)
    known = first[-2] - 1  # the last conv is no source
    activation: list[list[float] | None] = [*random.random((known, classes)).tolist(), *[None] * (count - known)]
    everything: list[float | None] = [*random.random(known).tolist(), *[None] * (count - known)]
    columns = {
        "number": np.arange(1, count + 1),
        "layer": layers,
        "x": np.concatenate(xs),
        "y": np.concatenate(ys),
        "activation": activation,
        "activation_all": everything,
    }
    positions = _table("positions", columns)
    parts = []
    for index, ((_, side, kernel), (_, after, next_kernel)) in enumerate(pairwise(convs)):
        parts.append(_pair(side, kernel, first[index], after, next_kernel, first[index + 1]))
    return positions, _sorted_arcs(np.concatenate(parts))


def _inside(side: int, following: int) -> Integers:
    """One axis of a conv's positions: where the next conv's kernel can be centred, else the one place nearest to it."""
    margin = (following - 1) // 2
    inside = np.arange(margin, side - margin)
    return inside if len(inside) else np.array([min(margin, side - 1)])


def _pair(side: int, kernel: int, first: int, after: int, next_kernel: int, first_after: int) -> Integers:
    """Arcs from one conv's positions to the next one's: per axis, then the outer product of both axes."""
    reach, ratio = max((kernel - 1) // 2, 1), side // after
    source, target = _inside(side, kernel), _inside(after, next_kernel)
    low = (target - reach) * ratio
    high = target + reach if ratio == 1 else low + ratio * kernel - 1
    s, t = np.nonzero((source[:, None] >= low[None]) & (source[:, None] <= high[None]))
    sources = first + (s[:, None] * len(source) + s[None]).ravel()
    targets = first_after + (t[:, None] * len(target) + t[None]).ravel()
    return np.stack([sources, targets], axis=1)


def _arcs_between(positions: pa.Table, before: str, after: str, side: int, next_side: int, kernel: int) -> Integers:
    """Arcs of a skip connection between two convs of :func:`_grid`."""
    names = np.array(positions.column("layer").to_pylist())
    first, first_after = int(np.argmax(names == before)) + 1, int(np.argmax(names == after)) + 1
    return _pair(side, kernel, first, next_side, 1, first_after)


def _sorted_arcs(arcs: Integers) -> Integers:
    return np.unique(arcs, axis=0)


def _columns(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    return {column: [row[column] for row in rows] for column in SCHEMAS[name].names}


def _table(name: str, columns: dict[str, Any]) -> pa.Table:
    schema = SCHEMAS[name]
    return pa.table([pa.array(list(columns[field.name]), field.type) for field in schema], schema=schema)


def with_car(network: Network, layers: Sequence[str], *, unjudged: Sequence[int] = ()) -> Network:
    """``network`` with a CAR of the maps of these layers, every second of which costs nothing.

    Args:
        unjudged: the classes of which no image was judged.
    """
    random, classes = np.random.default_rng(0), network.classes.num_rows
    every = zip(*(network.feature_maps[name].to_pylist() for name in ("layer", "channel")), strict=True)
    maps = [pair for pair in every if pair[0] in layers]
    lost = random.uniform(-0.1, 0.3, (len(maps), classes))
    lost[::2] = 0.0
    by_class = [[None if place in unjudged else value for place, value in enumerate(row)] for row in lost.tolist()]
    reductions = [
        {"layer": layer, "channel": channel, "car": float(np.mean(values)), "car_by_class": row}
        for (layer, channel), values, row in zip(maps, lost, by_class, strict=True)
    ]
    serves = [
        {"layer": layer, "channel": channel, "class_index": one.index, "reduction": one.reduction, "rank": one.rank}
        for (layer, channel), row in zip(maps, by_class, strict=True)
        for one in find_served(row)
    ]
    run = {"run": "car-0", "parameters": "{}", "baseline": 0.9, "images": 100 * classes, "judged_on": "images"}
    run |= {"class_images": [0 if place in unjudged else 100 for place in range(classes)]}
    run |= {"layers": list(layers), "values": [float(lost.mean())] * len(layers)}
    rows = {"car_runs": [run], "reductions": reductions, "serves": serves}
    return replace(network, **{name: pa.Table.from_pylist(found, schema=SCHEMAS[name]) for name, found in rows.items()})
