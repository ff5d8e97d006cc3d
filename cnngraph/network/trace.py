"""The mapping pass: a net and its images become a :class:`~cnngraph.network.tables.Network`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import nn

from cnngraph.console import Progress, Quiet
from cnngraph.errors import UsageError, nearest
from cnngraph.models.tensor_bytes import tensor_bytes
from cnngraph.modes import evaluation_mode
from cnngraph.network import spec
from cnngraph.network.blocks import Block
from cnngraph.network.channels import Maps, Wiring
from cnngraph.network.connection_blocks import filters_of
from cnngraph.network.connections import Links, connections_of
from cnngraph.network.followed_net import FollowedNet
from cnngraph.network.graph import LayerGraph
from cnngraph.network.images import LabelledImages
from cnngraph.network.layer_names import names_column
from cnngraph.network.macs import count_parameters
from cnngraph.network.observe import Observed, Probe, observe
from cnngraph.network.patches import LINEAR, PATCHES, Patches, aggregate
from cnngraph.network.resemblance import Resemblance
from cnngraph.network.tables import SCHEMAS, Details, Network, empty_table
from cnngraph.network.tensors import tensors_table
from cnngraph.network.topology import Topology
from cnngraph.network.trace_options import TraceOptions
from cnngraph.origin import get_origin

__all__ = ["trace", "weights_sha256"]

Floats = npt.NDArray[np.float64]


def trace(
    model: nn.Module,
    loader: Iterable[Any],
    how: TraceOptions | None = None,
    *,
    classes: Sequence[str] | None = None,
    images_per_class: int | None = None,
    progress: Progress | None = None,
) -> Network:
    """Map ``model`` with the images of ``loader`` (batches of (images, labels), read once or more).

    ``model`` runs in eval mode where it is and is the same afterwards, bit for bit.

    Args:
        how: what is mapped. Its ``device`` says nothing here.
        classes: names by label; without them the labels that occur are the classes, for which the loader is read once
            more.
        images_per_class: take that many images of each class, the first ones of the loader.

    Raises:
        UsageError: an option has an unknown value.
        TraceError: the net cannot be followed.
        DataError: the loader's images or labels are unusable, or a class has no image.
        ModelError: weights or activations that are NaN or infinite.

    The same net, images (in the same order), options and machine give identical tables.
    """
    how = how or TraceOptions()
    options = {
        "source": how.source,
        "patch": how.patch,
        "view": how.view,
        "connections": how.connections,
        "correlations": how.correlations,
        "images_per_class": images_per_class,
        "only_classes": None if how.only_classes is None else [str(one) for one in how.only_classes],
        "kernels": how.kernels,
        "seed": how.seed,
    }
    _check_options(options)
    progress = progress or Quiet()
    images = LabelledImages(loader, classes=classes, only_classes=how.only_classes, images_per_class=images_per_class)
    with evaluation_mode(model), torch.no_grad():
        progress.start("Following the net")
        followed = FollowedNet(model, images.shape)
        graph = followed.graph
        tables = _tables(followed, images, options, progress)
    progress.start("Checking the network")
    found = {"classes": images.classes, "images_sha256": images.sha256, "weights_sha256": weights_sha256(model)}
    return spec.check(Network(details=_details(model, graph, options | found), **tables))


def weights_sha256(model: nn.Module) -> str:
    """A hash of all parameters and buffers with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor_bytes(tensor).data)
    return digest.hexdigest()


def _check_options(options: dict[str, Any]) -> None:
    for name, known in (("source", spec.SOURCES), ("patch", tuple(PATCHES)), ("view", spec.VIEWS)):
        if options[name] not in known:
            raise UsageError(f"There is no {name} {options[name]!r}.", nearest(str(options[name]), known))
    if not spec.is_connections_policy(options["connections"]):
        raise UsageError(f"{options['connections']!r} is no choice of connections.", "Use auto, all, none or top:K.")


def _tables(
    followed: FollowedNet, images: LabelledImages, options: dict[str, Any], progress: Progress
) -> dict[str, pa.Table]:
    """The pass over the images, and all tables that the view has; those of the other view stay empty."""
    view, graph = options["view"], followed.graph
    maps = followed.maps if view != "positions" else None
    topology = followed.places if view != "channels" else None
    resemblance = Resemblance(maps, options["seed"]) if maps is not None and options["correlations"] else None
    observed = _observe(graph, maps, topology, images, options, resemblance, progress)
    tables = {name: empty_table(name) for name in SCHEMAS}
    tables |= {"layers": _layers_table(graph), "classes": _classes_table(images), "feeds": _feeds_table(graph)}
    tables["blocks"] = _blocks_table(followed.blocks)
    if topology is not None:
        tables["positions"] = _positions_table(topology, observed)
        tables["arcs"] = pa.table([topology.source, topology.target], schema=SCHEMAS["arcs"])
    if resemblance is not None:  # before the connections: its sums are the largest thing in memory, and go
        progress.start("Comparing maps")
        tables["resembles"] = resemblance.table(progress.note)
    if maps is not None:
        progress.start("Reading connections")
        wiring = followed.wiring
        policy, kernels = options["connections"], options["kernels"]
        links = connections_of(graph, maps, wiring, policy, kernels=kernels, note=progress.note)
        tables["connects"] = links.table
        tables["feeds"] = _feeds_table(graph, links.omitted)
        tables["feature_maps"] = _feature_maps_table(maps, wiring, observed, links)
        if kernels:
            tables["tensors"] = tensors_table(followed.model, graph, links.held)
    return tables


def _observe(
    graph: LayerGraph,
    maps: Maps | None,
    topology: Topology | None,
    images: LabelledImages,
    options: dict[str, Any],
    resemblance: Resemblance | None,
    progress: Progress,
) -> Observed:
    """One pass: everything that the options ask of the images, weights of positions in ``weights``."""
    nodes = {node.name: node for node in graph.graph_module.graph.nodes}
    probes: dict[Probe, tuple[int, ...]] = {}
    patches: dict[str, Patches] = {}
    for grid in topology.grids if topology else ():
        if grid.source:
            probe, shape = _place_probe(graph, nodes, grid.layer, options["source"])
            probes[probe] = shape
            size = (shape[1], shape[2])
            patches[grid.layer] = Patches.around(grid.rows, grid.columns, grid.patch, size, grid.size)
    patch = options["patch"]
    linear = patch in LINEAR
    observed = observe(
        graph.graph_module,
        images,
        channels=maps.probes if maps else (),
        places=tuple(probes) if linear else (),
        maps={} if linear else probes,
        reduce_maps=lambda layer, means: aggregate(patch, means, patches[layer]),
        see=resemblance.see if resemblance else None,
        end_of_batch=resemblance.end_of_batch if resemblance else None,
        progress=progress,
    )
    if linear:
        for probe, shape in probes.items():
            # The sum over channels is their number times their mean: channel means serve both.
            means = observed.places[probe.layer][:, None] * (shape[0] if patch == "sum" else 1)
            observed.weights[probe.layer] = aggregate(patch, means, patches[probe.layer])
    return observed


def _place_probe(
    graph: LayerGraph, nodes: dict[str, torch.fx.Node], conv: str, source: str
) -> tuple[Probe, tuple[int, ...]]:
    """Where the weights of ``conv``'s positions are read, and the (channels, height, width) of what is read."""
    node = nodes[graph.by_name[conv].node]
    if source == "input":
        read = node.all_input_nodes[0]
        return Probe(conv, node.name, before=True), tuple(read.meta["shape"][1:])
    if source == "activation":
        node = nodes[Maps.response(graph, conv).node]
    return Probe(conv, node.name), tuple(node.meta["shape"][1:])


def _details(model: nn.Module, graph: LayerGraph, options: dict[str, Any]) -> Details:
    origin = get_origin(model)
    return Details(
        architecture=origin.architecture if origin else f"{type(model).__module__}.{type(model).__qualname__}",
        recipe=origin.model_dump(mode="json") if origin else None,
        input_shape=graph.input_shape,
        source=options["source"],
        patch=options["patch"],
        view=options["view"],
        connections=options["connections"],
        parameters=count_parameters(model),
        macs=sum(layer.macs for layer in graph.layers),
        inputs=options,
    )


def _layers_table(graph: LayerGraph) -> pa.Table:
    schema = SCHEMAS["layers"]
    return pa.table({name: [getattr(layer, name) for layer in graph.layers] for name in schema.names}, schema=schema)


def _blocks_table(blocks: Sequence[Block]) -> pa.Table:
    rows = [{"index": index, **asdict(block)} for index, block in enumerate(blocks)]
    return pa.Table.from_pylist(rows, schema=SCHEMAS["blocks"])


def _classes_table(images: LabelledImages) -> pa.Table:
    names = images.classes
    return pa.table([list(range(len(names))), names, images.counts], schema=SCHEMAS["classes"])


def _feeds_table(graph: LayerGraph, omitted: dict[tuple[str, int], tuple[int, float]] | None = None) -> pa.Table:
    """``omitted``: (target, port) -> how many connections were left out and their share of the weight."""
    left_out = [(omitted or {}).get((feed.target, feed.port), (0, 0.0)) for feed in graph.feeds]
    return pa.table(
        [
            [feed.source for feed in graph.feeds],
            [feed.target for feed in graph.feeds],
            [feed.port for feed in graph.feeds],
            [count for count, _ in left_out],
            [share for _, share in left_out],
        ],
        schema=SCHEMAS["feeds"],
    )


def _per_class(values: Floats, known: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """(rows, classes) as a list column; rows that are not ``known`` are null."""
    rows, classes = values.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(classes)
    mask = None if known is None else pa.array(~known)
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), mask=mask)


def _positions_table(topology: Topology, observed: Observed) -> pa.Table:
    classes = next((len(weights) - 1 for weights in observed.weights.values()), 0)
    blocks: list[Floats] = []
    known: list[npt.NDArray[np.bool_]] = []
    names: list[npt.NDArray[np.int32]] = []
    for grid in topology.grids:
        weights = observed.weights.get(grid.layer)
        shape = (grid.count, classes + 1)
        blocks.append(np.zeros(shape) if weights is None else weights.reshape(classes + 1, -1).T)
        known.append(np.full(grid.count, weights is not None))
        names.append(np.full(grid.count, len(names), dtype=np.int32))
    values, filled = np.concatenate(blocks), np.concatenate(known)
    layers = names_column(np.concatenate(names), [grid.layer for grid in topology.grids])
    return pa.table(
        [
            np.concatenate([grid.numbers for grid in topology.grids]),
            layers,
            np.concatenate([grid.x for grid in topology.grids]),
            np.concatenate([grid.y for grid in topology.grids]),
            _per_class(values[:, :-1], filled),
            pa.array(values[:, -1], mask=~filled),
        ],
        schema=SCHEMAS["positions"],
    )


def _feature_maps_table(maps: Maps, wiring: Wiring, observed: Observed, links: Links) -> pa.Table:
    norms = [filters_of(wiring, name, size) for name, size in maps.sizes.items()]
    return pa.table(
        [
            names_column(maps.layer_of, list(maps.sizes)),
            np.concatenate([np.arange(size, dtype=np.int32) for size in maps.sizes.values()]),
            np.concatenate([l1 for l1, _ in norms]),
            np.concatenate([l2 for _, l2 in norms]),
            _per_class(np.concatenate([observed.activation[name].T for name in maps.sizes])),
            pa.array(np.concatenate([observed.zeros[name] for name in maps.sizes]), mask=maps.layer_of == 0),
            links.strength_in,
            links.strength_out,
        ],
        schema=SCHEMAS["feature_maps"],
    )
