"""One spec that validates every :class:`~cnngraph.network.tables.Network`: after it is made, and after it is read.

A rule is a vectorised comparison; the first row that breaks it is named, with its table and its column.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cnngraph.errors import SpecError
from cnngraph.network.measured_spec import check_measured
from cnngraph.network.patches import PATCHES
from cnngraph.network.rules import (
    Integers,
    among,
    counted,
    distinct,
    fail,
    integers,
    lengths,
    per_class,
    require,
    unique,
)
from cnngraph.network.tables import BLOCK_KINDS, KERNEL, KINDS, MEASURED, SCHEMAS, Network

__all__ = ["SOURCES", "VIEWS", "check", "is_connections_policy"]

VIEWS = ("channels", "positions", "both")
SOURCES = ("input", "output", "activation")
_ROWS = 100_000  # of a long table that are tested together
_WITH_MAPS = ("Input", "Conv", "Linear", "Add")


def is_connections_policy(text: str) -> bool:
    """Whether ``text`` is one of auto, all, none, top:K with K >= 1."""
    return text in ("auto", "all", "none") or re.fullmatch(r"top:[1-9][0-9]{0,8}", text) is not None


def check(network: Network) -> Network:
    """Return ``network`` if it contradicts itself nowhere.

    Checked: column names, types and nulls; ranges and finite values; unique and ordered keys; per-class lists as long
    as there are classes; no edge without its two ends, none against the network's order; arcs only where the layer
    graph leads from one conv to the next without another conv between; blocks and tensors of layers that are there.

    Raises:
        SpecError: with the table, the column and the row (counted from 0) of the first contradiction.
    """
    for name, table in network.tables().items():
        _columns(name, table)
    _details(network)
    order = _layers(network.layers)
    feeds = _feeds(network.feeds, order)
    classes = _classes(network.classes)
    maps = _feature_maps(network, order, classes)
    _in_parts(_connects, network.connects, order, maps)
    _in_parts(_resembles, network.resembles, order, maps)
    places = _positions(network, order, classes)
    _arcs(network, places, feeds)
    _blocks(network.blocks, order)
    _tensors(network, order)
    _coupling_groups(network.coupling_groups, order, maps)
    check_measured(network, order.places, maps, classes)
    return network


def _columns(name: str, table: pa.Table) -> None:
    schema = SCHEMAS[name]
    if name == "connects" and KERNEL.name in table.column_names:
        schema = schema.append(KERNEL)
    if table.column_names != schema.names:
        odd = sorted(set(table.column_names) ^ set(schema.names)) or ["(order)"]
        raise fail(name, odd[0], "-", f"the columns are {', '.join(table.column_names)}, not those of the spec")
    for field in schema:
        column = table.column(field.name)
        if column.type != field.type:
            raise fail(name, field.name, "-", f"the type is {column.type}, not {field.type}")
        if column.null_count and not field.nullable:
            raise fail(name, field.name, int(np.argmax(pc.is_null(column).to_numpy())), "a value is missing")
        if pa.types.is_floating(field.type):
            known = pc.fill_null(pc.is_finite(column), True).to_numpy()
            require(known, name, field.name, "the value is not finite")


def _in_parts(
    test: Callable[[pa.Table, _Order, Integers], None], table: pa.Table, order: _Order, maps: Integers
) -> None:
    """Test a long table some rows after the others: what a test computes of them stays in the processor's cache.

    Each part begins with the last row of the part before it, so that no two rows that lie side by side are missed.
    """
    try:
        for start in range(0, max(1, table.num_rows - 1), _ROWS):
            test(table.slice(start, _ROWS + 1), order, maps)
    except SpecError:
        test(table, order, maps)  # counts the row from the beginning
        raise


def _details(network: Network) -> None:
    details = network.details
    allowed: dict[str, tuple[str, ...]] = {"view": VIEWS, "source": SOURCES, "patch": tuple(PATCHES)}
    for name, values in allowed.items():
        if getattr(details, name) not in values:
            raise fail("details", name, "-", f"{getattr(details, name)!r} is none of {', '.join(values)}")
    if not is_connections_policy(details.connections):
        raise fail("details", "connections", "-", f"{details.connections!r} is none of auto, all, none, top:K")
    known = details.input_shape != (0, 0, 0)  # an import does not say it
    if len(details.input_shape) != 3 or (known and any(size < 1 for size in details.input_shape)):
        raise fail("details", "input_shape", "-", f"{details.input_shape} is no (channels, height, width)")
    if details.parameters < 0 or details.macs < 0:
        raise fail("details", "parameters", "-", "a count is negative")
    empty = {
        "channels": ("positions", "arcs"),
        "positions": ("feature_maps", "connects", "resembles", "coupling_groups", *sorted(MEASURED)),
        "both": (),
    }
    for name in empty[details.view]:
        if getattr(network, name).num_rows:
            raise fail(name, "-", 0, f"there are rows, but the view is {details.view}")


class _Order:
    """The layers as numbers: place in network order, kind, sizes (-1 where not known)."""

    def __init__(self, layers: pa.Table) -> None:
        self.names: pa.Array = layers.column("layer").combine_chunks()
        self.kinds = np.asarray(layers.column("kind").to_pylist(), dtype=object)
        self.channels, self.heights, self.widths = (
            pc.fill_null(layers.column(name), -1).to_numpy().astype(np.int64)
            for name in ("out_channels", "out_height", "out_width")
        )

    def places(self, column: pa.ChunkedArray, table: str, name: str) -> Integers:
        """The place in network order of each layer that ``column`` names."""
        found: Integers = (
            pc.fill_null(pc.index_in(column, value_set=self.names), -1).combine_chunks().to_numpy().astype(np.int64)
        )
        good = found >= 0
        if not good.all():
            row = int(np.argmin(good))
            raise fail(table, name, row, f"there is no layer {column[row].as_py()!r}")
        return found


def _layers(table: pa.Table) -> _Order:
    if not table.num_rows:
        raise fail("layers", "-", "-", "there is no layer")
    require(integers(table, "index") == np.arange(table.num_rows), "layers", "index", "it does not count 0, 1, 2, ...")
    distinct(table.column("layer"), "layers", "layer")
    require(among(table.column("kind"), KINDS), "layers", "kind", f"it is none of {', '.join(KINDS)}")
    for name in ("in_channels", "out_channels", "out_height", "out_width", "groups", "parameters", "macs"):
        low = 0 if name in ("parameters", "macs") else 1
        values = pc.fill_null(table.column(name), low).to_numpy()
        require(values >= low, "layers", name, f"it is under {low}")
    for name in ("kernel", "stride", "padding", "dilation"):
        lengths(table.column(name), 2, "layers", name)
    order = _Order(table)
    shared = table.column("shared_with")
    known = pc.or_(pc.is_null(shared), pc.is_in(shared, value_set=order.names)).to_numpy()
    require(known, "layers", "shared_with", "there is no such layer")
    return order


def _feeds(table: pa.Table, order: _Order) -> list[tuple[int, int]]:
    sources = order.places(table.column("source"), "feeds", "source")
    targets = order.places(table.column("target"), "feeds", "target")
    ports = integers(table, "port")
    require(sources < targets, "feeds", "target", "the edge runs against the network's order")
    require(ports >= 0, "feeds", "port", "it is negative")
    require(integers(table, "omitted") >= 0, "feeds", "omitted", "it is negative")
    share = table.column("omitted_share").to_numpy()
    require((share >= 0) & (share <= 1), "feeds", "omitted_share", "it is not within 0 and 1")
    unique([sources, targets, ports], "feeds", "port", ordered=False)
    return list(zip(sources.tolist(), targets.tolist(), strict=True))


def _classes(table: pa.Table) -> int:
    require(integers(table, "index") == np.arange(table.num_rows), "classes", "index", "it does not count 0, 1, ...")
    distinct(table.column("name"), "classes", "name")
    require(pc.fill_null(table.column("images"), 1).to_numpy() >= 1, "classes", "images", "the class has no image")
    if not table.num_rows:
        raise fail("classes", "-", "-", "there is no class")
    return int(table.num_rows)


def _feature_maps(network: Network, order: _Order, classes: int) -> Integers:
    """Check the maps; return for each layer how many it has."""
    table = network.feature_maps
    layers = order.places(table.column("layer"), "feature_maps", "layer")
    channels = integers(table, "channel")
    unique([layers, channels], "feature_maps", "channel", ordered=True)
    counts = np.bincount(layers, minlength=len(order.kinds)).astype(np.int64)
    require(channels == counted(counts), "feature_maps", "channel", "a layer's channels do not count 0, 1, 2, ...")
    require(np.isin(order.kinds, _WITH_MAPS)[layers], "feature_maps", "layer", "such a layer has no maps of its own")
    wrong = (counts != 0) & (order.channels >= 0) & (counts != order.channels)
    if wrong.any():
        place = int(np.argmax(wrong))
        row = int(np.argmax(layers == place))
        what = f"{counts[place]} maps, but the layer has {order.channels[place]} channels"
        raise fail("feature_maps", "channel", row, what)
    for name in ("l1", "l2", "strength_in", "strength_out"):
        require(table.column(name).to_numpy() >= 0, "feature_maps", name, "it is negative")
    apoz = pc.fill_null(table.column("apoz"), 0.0).to_numpy()
    require((apoz >= 0) & (apoz <= 1), "feature_maps", "apoz", "it is not within 0 and 1")
    per_class(table.column("activation"), classes, "feature_maps")
    if network.details.view != "positions":
        # A sum of values without one dimension of channels has no maps; a published class network has none at all.
        missing = np.isin(order.kinds, _WITH_MAPS) & (counts == 0) & (order.channels >= 0)
        if missing.any() and counts.any():
            name = order.names[int(np.argmax(missing))].as_py()
            raise fail("feature_maps", "layer", "-", f"layer {name} has no maps")
    return counts


def _connects(table: pa.Table, order: _Order, maps: Integers) -> None:
    source_layers, source = _ends(table, "source", "connects", order, maps)
    target_layers, target = _ends(table, "target", "connects", order, maps)
    channels = integers(table, "channel")
    require(channels >= 0, "connects", "channel", "it is negative")
    require(table.column("weight").to_numpy() >= 0, "connects", "weight", "it is negative")
    require(source_layers < target_layers, "connects", "target_layer", "it runs against the network's order")
    unique([target, channels, source], "connects", "channel", ordered=True)


def _resembles(table: pa.Table, order: _Order, maps: Integers) -> None:
    source_layers, source = _ends(table, "source", "resembles", order, maps)
    target_layers, target = _ends(table, "target", "resembles", order, maps)
    require(source < target, "resembles", "target_channel", "the source is not before the target")
    correlation = table.column("correlation").to_numpy()
    require(np.abs(correlation) <= 1, "resembles", "correlation", "it is not within -1 and 1")
    within = pc.equal(table.column("scope"), "within").to_numpy()
    across = pc.equal(table.column("scope"), "across").to_numpy()
    same = source_layers == target_layers
    require((within & same) | (across & ~same), "resembles", "scope", "it does not fit the two layers")
    unique([source, target], "resembles", "target_channel", ordered=True)


def _positions(network: Network, order: _Order, classes: int) -> Integers:
    """Check the positions; return the layer of each."""
    table = network.positions
    numbers = integers(table, "number")
    require(numbers == np.arange(1, table.num_rows + 1), "positions", "number", "it does not count 1, 2, 3, ...")
    layers = order.places(table.column("layer"), "positions", "layer")
    require(np.equal(order.kinds, "Conv")[layers], "positions", "layer", "the layer is no conv")
    x, y = integers(table, "x"), integers(table, "y")
    for name, values, limits in (("x", x, order.heights), ("y", y, order.widths)):
        limit = limits[layers]
        require((values >= 0) & ((limit < 0) | (values < limit)), "positions", name, "it is outside the layer's output")
    unique([layers, x, y], "positions", "y", ordered=True)
    per_class(table.column("activation"), classes, "positions")
    if network.details.view != "channels":
        missing = np.equal(order.kinds, "Conv") & (np.bincount(layers, minlength=len(order.kinds)) == 0)
        if missing.any():
            name = order.names[int(np.argmax(missing))].as_py()
            raise fail("positions", "layer", "-", f"layer {name} has no positions")
    return layers


def _arcs(network: Network, layers: Integers, feeds: list[tuple[int, int]]) -> None:
    table = network.arcs
    source, target = integers(table, "source"), integers(table, "target")
    for name, values in (("source", source), ("target", target)):
        require((values >= 1) & (values <= len(layers)), "arcs", name, "there is no such position")
    unique([source, target], "arcs", "target", ordered=True)
    if not table.num_rows:
        return
    span = int(layers[-1]) + 1
    pairs, first = np.unique(layers[source - 1] * span + layers[target - 1], return_index=True)
    convs = set(layers.tolist())
    allowed = _next_convs(feeds, convs)
    for row, pair in sorted(zip(first.tolist(), pairs.tolist(), strict=True)):
        before, after = divmod(pair, span)
        if before >= after or (feeds and after not in allowed[before]):
            names = [network.layers.column("layer")[place].as_py() for place in (before, after)]
            raise fail("arcs", "target", row, f"{names[1]} does not come next after {names[0]} in the layer graph")


def _blocks(table: pa.Table, order: _Order) -> None:
    require(integers(table, "index") == np.arange(table.num_rows), "blocks", "index", "it does not count 0, 1, ...")
    distinct(table.column("name"), "blocks", "name")
    require(among(table.column("kind"), BLOCK_KINDS), "blocks", "kind", f"it is none of {', '.join(BLOCK_KINDS)}")
    for end in ("entry", "exit"):
        order.places(table.column(end), "blocks", end)
    inside = pc.list_flatten(table.column("layers"))
    rows = pc.list_parent_indices(table.column("layers")).to_numpy()
    places = order.places(inside, "blocks", "layers")
    unique([rows, places], "blocks", "layers", ordered=True)
    require(pc.list_value_length(table.column("layers")).to_numpy() > 0, "blocks", "layers", "the block is empty")
    parents = table.column("parent")
    known = pc.or_(pc.is_null(parents), pc.is_in(parents, value_set=table.column("name").combine_chunks()))
    require(known.to_numpy(), "blocks", "parent", "there is no such block")


def _tensors(network: Network, order: _Order) -> None:
    table = network.tensors
    require(integers(table, "index") == np.arange(table.num_rows), "tensors", "index", "it does not count 0, 1, ...")
    distinct(table.column("name"), "tensors", "name")
    layers = table.column("layer")
    known = pc.or_(pc.is_null(layers), pc.is_in(layers, value_set=order.names)).to_numpy()
    require(known, "tensors", "layer", "there is no such layer")
    there = pc.or_(pc.is_valid(table.column("data")), pc.is_valid(layers)).to_numpy()
    require(there, "tensors", "data", "the values are missing")


def _coupling_groups(table: pa.Table, order: _Order, maps: Integers) -> None:
    name = "coupling_groups"
    require(integers(table, "index") == np.arange(table.num_rows), name, "index", "it does not count 0, 1, ...")
    sizes, others = (pc.list_value_length(table.column(end)).to_numpy() for end in ("layers", "channels"))
    require(sizes > 0, name, "layers", "the group is empty")
    require(sizes == others, name, "channels", "there are not as many as layers")
    rows = pc.list_parent_indices(table.column("layers")).to_numpy()
    layers = order.places(pc.list_flatten(table.column("layers")), name, "layers")
    channels = pc.list_flatten(table.column("channels")).to_numpy().astype(np.int64)
    require((channels >= 0) & (channels < maps[layers]), name, "channels", "there is no such feature map")
    unique([layers, channels], name, "channels", ordered=False)
    unique([rows, layers, channels], name, "channels", ordered=True)


def _next_convs(feeds: list[tuple[int, int]], convs: set[int]) -> dict[int, set[int]]:
    """For each conv the convs that FEEDS reaches from it without another conv between."""
    successors: dict[int, set[int]] = {}
    for source, target in feeds:
        successors.setdefault(source, set()).add(target)
    found: dict[int, set[int]] = {}
    for conv in convs:
        seen: set[int] = set()
        waiting = [conv]
        while waiting:
            for after in successors.get(waiting.pop(), set()) - seen:
                seen.add(after)
                if after not in convs:
                    waiting.append(after)
        found[conv] = seen & convs
    return found


def _ends(table: pa.Table, end: str, name: str, order: _Order, maps: Integers) -> tuple[Integers, Integers]:
    """Of one end of every edge the place of its layer, and the number of its map, which must be there."""
    layers = order.places(table.column(f"{end}_layer"), name, f"{end}_layer")
    channels = integers(table, f"{end}_channel")
    require((channels >= 0) & (channels < maps[layers]), name, f"{end}_channel", "there is no such feature map")
    channels += (np.cumsum(maps) - maps)[layers]
    return layers, channels
