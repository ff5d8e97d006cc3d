"""The ``Network``: one net as Arrow tables, the boundary between the torch side and the database side.

Column names are those of the graph in Neo4j, in snake_case. Every table's rows have a fixed order, so that two runs on
the same inputs give identical tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

__all__ = ["BLOCK_KINDS", "KERNEL", "KINDS", "LATER", "MEASURED", "SCHEMAS", "Details", "Network", "empty_table"]

KINDS = ("Input", "Conv", "Linear", "Norm", "Activation", "Pool", "Add", "Concat", "Flatten", "Other")
BLOCK_KINDS = ("residual", "concat", "gate", "chain", "stage")

# What was found out about the net by measuring it; it makes it no other net, and most have none.
MEASURED = frozenset({"car_runs", "reductions", "serves"})
# Tables that bundles and databases of earlier versions do not have: where one is missing it is empty.
LATER = frozenset({"blocks", "tensors", "coupling_groups"}) | MEASURED

_PAIR = pa.list_(pa.int32())
_CLASSES = pa.list_(pa.float64())

# The one optional column: the raw kernel (row-major) of a connection, in `connects` when it was asked for.
KERNEL = pa.field("kernel", pa.list_(pa.float32()))

SCHEMAS: dict[str, pa.Schema] = {
    # In network order; `index` counts 0.. in that order. `layer` is the name in commands and plans (module path,
    # `conv#2` for its second call).
    "layers": pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("layer", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("operation", pa.string(), nullable=False),  # class or function: Conv2d, ReLU, add, MaxPool2d
            pa.field("module", pa.string()),  # path in named_modules(); null for a functional layer
            pa.field("shared_with", pa.string()),  # the layer that is the first call of the same module
            pa.field("in_channels", pa.int32()),
            pa.field("out_channels", pa.int32()),
            pa.field("kernel", _PAIR),
            pa.field("stride", _PAIR),
            pa.field("padding", _PAIR),
            pa.field("dilation", _PAIR),
            pa.field("groups", pa.int32()),
            pa.field("out_height", pa.int32()),
            pa.field("out_width", pa.int32()),
            pa.field("parameters", pa.int64(), nullable=False),
            pa.field("macs", pa.int64(), nullable=False),  # multiply-accumulates for one image
        ]
    ),
    # One row an edge of the layer multigraph; port = which argument of the target it enters.
    "feeds": pa.schema(
        [
            pa.field("source", pa.string(), nullable=False),
            pa.field("target", pa.string(), nullable=False),
            pa.field("port", pa.int32(), nullable=False),
            pa.field("omitted", pa.int64(), nullable=False),  # CONNECTS left out between the maps of the two
            pa.field("omitted_share", pa.float64(), nullable=False),  # their share of the weight, 0..1
        ]
    ),
    # Maps of Input, Conv, Linear and Add layers, by (layer index, channel). l1, l2: norms of the filter that makes the
    # map (0 where there is none).
    "feature_maps": pa.schema(
        [
            pa.field("layer", pa.string(), nullable=False),
            pa.field("channel", pa.int32(), nullable=False),
            pa.field("l1", pa.float64(), nullable=False),
            pa.field("l2", pa.float64(), nullable=False),
            pa.field("activation", _CLASSES),  # mean over places and images, one a class
            pa.field("apoz", pa.float64()),  # average share of zeros (<= 0) after the activation, 0..1
            pa.field("strength_in", pa.float64(), nullable=False),
            pa.field("strength_out", pa.float64(), nullable=False),
        ]
    ),
    # weight = L2 norm of the kernel that reads input channel `channel` of the target layer; 1 into an Add, whose
    # input channels count through its summands. Rows by (target layer index, target channel, channel, source layer
    # index, source channel).
    "connects": pa.schema(
        [
            pa.field("source_layer", pa.string(), nullable=False),
            pa.field("source_channel", pa.int32(), nullable=False),
            pa.field("target_layer", pa.string(), nullable=False),
            pa.field("target_channel", pa.int32(), nullable=False),
            pa.field("channel", pa.int32(), nullable=False),
            pa.field("weight", pa.float64(), nullable=False),
        ]
    ),
    # Undirected, written once: (source layer, channel) sorts before (target layer, channel) in network order; rows in
    # that order.
    "resembles": pa.schema(
        [
            pa.field("source_layer", pa.string(), nullable=False),
            pa.field("source_channel", pa.int32(), nullable=False),
            pa.field("target_layer", pa.string(), nullable=False),
            pa.field("target_channel", pa.int32(), nullable=False),
            pa.field("correlation", pa.float64(), nullable=False),  # -1..1
            pa.field("scope", pa.string(), nullable=False),  # within | across
        ]
    ),
    # number counts 1.. layer by layer, x-major, y-minor (x = row, y = column), as in the reference files.
    # activation is null where it is not known or the layer is no source (the last conv); activation_all: over all
    # images alike.
    "positions": pa.schema(
        [
            pa.field("number", pa.int32(), nullable=False),
            pa.field("layer", pa.string(), nullable=False),
            pa.field("x", pa.int32(), nullable=False),
            pa.field("y", pa.int32(), nullable=False),
            pa.field("activation", _CLASSES),
            pa.field("activation_all", pa.float64()),
        ]
    ),
    # By (source, target), both numbers of positions. The weight for class k is the source's activation[k].
    "arcs": pa.schema(
        [
            pa.field("source", pa.int32(), nullable=False),
            pa.field("target", pa.int32(), nullable=False),
        ]
    ),
    # index = the class's place in every per-class list. images = how many were averaged (null where not known: an
    # import).
    "classes": pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("images", pa.int64()),
        ]
    ),
    # Parts of the net with one way in and one way out (cnngraph.network.blocks), in network order, each before the
    # blocks inside it. `index` counts 0.. in that order; `layers` in network order. A net that is a chain has stages.
    "blocks": pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("entry", pa.string(), nullable=False),
            pa.field("exit", pa.string(), nullable=False),
            pa.field("layers", pa.list_(pa.string()), nullable=False),
            pa.field("module", pa.string()),
            pa.field("parent", pa.string()),
        ]
    ),
    # Every parameter and buffer of the net, where they were asked for (`kernels`), under its name in the state dict and
    # in that order. `data` are its values in row-major order, as they lie in memory on a little-endian machine; it is
    # null where the kernels of the connections into `layer` hold them all.
    "tensors": pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("name", pa.string(), nullable=False),
            pa.field("dtype", pa.string(), nullable=False),  # torch's name: float32, int64
            pa.field("shape", pa.list_(pa.int64()), nullable=False),
            pa.field("layer", pa.string()),
            pa.field("data", pa.large_binary()),
        ]
    ),
    # Feature maps that only go together (cnngraph.jobs.coupling_groups), `layers` and `channels` side by side and in
    # network order; groups by their first map. A map in no group goes alone. `fixed`: why the group cannot go.
    "coupling_groups": pa.schema(
        [
            pa.field("index", pa.int32(), nullable=False),
            pa.field("layers", pa.list_(pa.string()), nullable=False),
            pa.field("channels", pa.list_(pa.int32()), nullable=False),
            pa.field("fixed", pa.string()),
        ]
    ),
    # The run that `reductions` and `serves` are of, if there is one: the end of its key (`car-1a2b3c4d`), the
    # parameters (JSON) that this is a hash of, the images that were judged, of each class too; and the layers that were
    # measured, in network order, with the mean CAR of each.
    "car_runs": pa.schema(
        [
            pa.field("run", pa.string(), nullable=False),
            pa.field("parameters", pa.string(), nullable=False),
            pa.field("baseline", pa.float64(), nullable=False),
            pa.field("images", pa.int64(), nullable=False),
            pa.field("judged_on", pa.string(), nullable=False),
            pa.field("class_images", pa.list_(pa.int64()), nullable=False),
            pa.field("layers", pa.list_(pa.string()), nullable=False),
            pa.field("values", _CLASSES, nullable=False),
        ]
    ),
    # What accuracy the net loses without the filter of a map: CAR, and CAR of each class (null where none of its images
    # was judged). By (layer index, channel); maps that cannot go have no row.
    "reductions": pa.schema(
        [
            pa.field("layer", pa.string(), nullable=False),
            pa.field("channel", pa.int32(), nullable=False),
            pa.field("car", pa.float64(), nullable=False),
            pa.field("car_by_class", _CLASSES, nullable=False),
        ]
    ),
    # The classes that a map's filter serves most and least; rank 1: most. By (layer index, channel, rank, class_index).
    "serves": pa.schema(
        [
            pa.field("layer", pa.string(), nullable=False),
            pa.field("channel", pa.int32(), nullable=False),
            pa.field("class_index", pa.int32(), nullable=False),
            pa.field("reduction", pa.float64(), nullable=False),
            pa.field("rank", pa.int32(), nullable=False),
        ]
    ),
}


def empty_table(name: str) -> pa.Table:
    """The table ``name`` without rows."""
    # Not schema.empty_table(): that imports pandas, a fifth of a second.
    return pa.Table.from_batches([], schema=SCHEMAS[name])


@dataclass(frozen=True)
class Details:
    """What is known of a Network besides its tables: all JSON (Model node's properties, a bundle's ``network.json``).

    Attributes:
        architecture: the name that was typed (``cnngraph:vgg16``), or the class's dotted path for a live net.
        recipe: Origin as a JSON object (architecture, options, executed plans); ``None`` for a live net without one.
        input_shape: (channels, height, width); (0, 0, 0) where it is not known (an import).
        preprocessing: Preprocessing as a JSON object, or ``None``.
        dataset: the name that was typed; "" for a live loader.
        source, patch: which map and which mean the position weights come from (methods.md, section 1).
        view: channels, positions or both. connections: the policy as typed (auto, all, none, top:K).
        parameters, macs: of the whole net. trained: whether the weights are more than an initialisation.
        inputs: everything that decided the values (options, seed, hashes of weights and images), for "same inputs".
    """

    architecture: str
    input_shape: tuple[int, int, int]
    recipe: dict[str, Any] | None = None
    preprocessing: dict[str, Any] | None = None
    dataset: str = ""
    source: str = "activation"
    patch: str = "mean"
    view: str = "both"
    connections: str = "auto"
    parameters: int = 0
    macs: int = 0
    trained: bool = True
    inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """One net, mapped. Make one with :func:`cnngraph.network.trace.trace` or read one from a bundle or a database.

    ``network.layers``, ``network.arcs`` ... are the Arrow tables of :data:`SCHEMAS`.
    """

    details: Details
    layers: pa.Table
    feeds: pa.Table
    feature_maps: pa.Table
    connects: pa.Table
    resembles: pa.Table
    positions: pa.Table
    arcs: pa.Table
    classes: pa.Table
    blocks: pa.Table = field(default_factory=lambda: empty_table("blocks"))
    tensors: pa.Table = field(default_factory=lambda: empty_table("tensors"))
    coupling_groups: pa.Table = field(default_factory=lambda: empty_table("coupling_groups"))
    car_runs: pa.Table = field(default_factory=lambda: empty_table("car_runs"))
    reductions: pa.Table = field(default_factory=lambda: empty_table("reductions"))
    serves: pa.Table = field(default_factory=lambda: empty_table("serves"))

    def tables(self) -> dict[str, pa.Table]:
        """All tables by name, in the order of :data:`SCHEMAS`."""
        return {name: getattr(self, name) for name in SCHEMAS}

    def counts(self) -> dict[str, int]:
        """The sizes of the two views under the names that ``--json`` uses."""
        return {
            "layers": self.layers.num_rows,
            "feature_maps": self.feature_maps.num_rows,
            "connections": self.connects.num_rows,
            "positions": self.positions.num_rows,
            "arcs": self.arcs.num_rows,
            "classes": self.classes.num_rows,
        }

    def with_details(self, **changes: Any) -> Network:
        """A copy with other details; the tables are shared."""
        return replace(self, details=replace(self.details, **changes))

    def to_networkx(
        self, view: str = "both", class_: str | int = "mean", relationships: Sequence[str] | None = None
    ) -> nx.Graph[Any]:
        """The network as a networkx graph: :func:`cnngraph.network.interchange.to_networkx`."""
        from cnngraph.network.interchange import to_networkx

        return to_networkx(self, view, class_, relationships)

    def frames(
        self, view: str = "both", class_: str | int = "mean", relationships: Sequence[str] | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The network as (nodes, edges) data frames: :func:`cnngraph.network.interchange.to_frames`."""
        from cnngraph.network.interchange import to_frames

        return to_frames(self, view, class_, relationships)
