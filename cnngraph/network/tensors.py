"""Every weight of a net as a table, and back: what a net needs besides its structure to be the same net again.

Convolutions and dense layers of which every connection is there have their weights in the kernels of those connections;
all else (biases, norms with their running statistics, layer scales, counters, heads that eval mode does not use, layers
whose connections are not all there) is kept tensor by tensor, byte for byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from cnngraph.errors import SpecError
from cnngraph.models.tensor_bytes import tensor_bytes
from cnngraph.models.wrappers import unwrapped
from cnngraph.network.graph import LayerGraph
from cnngraph.network.tables import KERNEL, SCHEMAS, Network

__all__ = ["Kernels", "connections_of_network", "kernels_of", "regular_places", "state_of", "tensors_table"]

Integers = npt.NDArray[np.int64]
Kernels = npt.NDArray[np.float32]

_IN_FLOAT32 = (torch.float32, torch.float16, torch.bfloat16)
_HINT = "Ingest the model again with --kernels --replace."


def regular_places(features: Integers, starts: Integers, width: int) -> int:
    """How many features of a dense layer stem from each map, if they are as many for each and lie together; else 0.

    Args:
        features: by map, one after the other. starts: where each map's features begin. width: of the dense layer.
    """
    places = len(features) // len(starts)
    together = len(features) == width and bool((np.diff(features) == 1).all())
    return places if together and np.array_equal(starts, np.arange(len(starts)) * places) else 0


def kernels_of(weight: Tensor, fold: tuple[Integers, Integers] | None) -> Kernels | None:
    """The weight of a layer as (targets, input channels of a group, values of one kernel), exact.

    Args:
        weight: of a convolution (targets, channels, rows, columns) or a dense layer (targets, features).
        fold: of a dense layer the features by map, and where each map's features begin.

    Returns ``None`` where float32 cannot hold the values, or where the features of one map do not lie together.
    """
    if weight.dtype not in _IN_FLOAT32:
        return None
    floats = weight.detach().float().cpu()
    if fold is None:
        return floats.flatten(2).numpy()
    places = regular_places(*fold, floats.shape[1])
    return floats.view(len(floats), -1, places).numpy() if places else None


def tensors_table(model: nn.Module, graph: LayerGraph, held: Collection[str]) -> pa.Table:
    """``SCHEMAS["tensors"]`` of a net; ``held`` are the layers whose weight the kernels of their connections hold."""
    state = unwrapped(model).state_dict()
    owners = {layer.module: layer.layer for layer in reversed(graph.layers) if layer.module is not None}
    in_kernels = {f"{layer.module}.weight" for layer in graph.layers if layer.layer in held}
    rows = [
        {
            "index": index,
            "name": name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "layer": owners.get(name.rpartition(".")[0]),
            "data": None if name in in_kernels else _bytes(tensor),
        }
        for index, (name, tensor) in enumerate(state.items())
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMAS["tensors"])


def state_of(tensors: pa.Table, connections_into: Callable[[str], pa.Table]) -> dict[str, Tensor]:
    """The state dict that a net's tables hold, in its order, types and shapes exact.

    Args:
        tensors: ``SCHEMAS["tensors"]``.
        connections_into: the rows of ``SCHEMAS["connects"]`` with kernels whose target is the layer of that name.

    Raises:
        SpecError: there are no tensors (the net was mapped without kernels), or connections or values are missing.
    """
    if not tensors.num_rows:
        raise SpecError("The network holds no weights.", _HINT)
    state = {}
    for row in tensors.to_pylist():
        dtype: torch.dtype = getattr(torch, row["dtype"])
        if row["data"] is None:
            found = _from_kernels(row["name"], row["shape"], connections_into(row["layer"])).to(dtype)
        else:
            found = _from_bytes(row["name"], row["data"], dtype, row["shape"])
        state[row["name"]] = found
    return state


def connections_of_network(network: Network) -> Callable[[str], pa.Table]:
    """``connections_into`` of a network in memory."""
    return lambda layer: network.connects.filter(pc.equal(network.connects["target_layer"], layer))


def _bytes(tensor: Tensor) -> bytes:
    return tensor_bytes(tensor).tobytes()


def _from_bytes(name: str, data: bytes, dtype: torch.dtype, shape: list[int]) -> Tensor:
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise SpecError(f"The tensor {name} has {len(data)} bytes, which is not its shape {shape}.", _HINT)
    flat = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    return flat.view(dtype).reshape(shape)


def _from_kernels(name: str, shape: list[int], connects: pa.Table) -> Tensor:
    """A weight put together from the connections into its layer: each kernel at its target and input channel.

    An input channel counts from the first of all groups; a weight has those of one group.
    """
    if KERNEL.name not in connects.column_names:
        raise SpecError(f"The kernels of {name} are not all there.", _HINT)
    values = math.prod(shape)
    kernels = connects[KERNEL.name]
    size = len(kernels[0]) if len(kernels) and kernels[0].is_valid else 0
    lengths = pc.fill_null(pc.list_value_length(kernels), 0).to_numpy()
    if not size or (lengths != size).any() or values % (shape[0] * size):
        raise SpecError(f"The kernels of {name} are not all there.", _HINT)
    weight = np.zeros((shape[0], values // (shape[0] * size), size), dtype=np.float32)
    seen = np.zeros(weight.shape[:2], dtype=np.bool_)
    targets = connects["target_channel"].to_numpy()
    channels = connects["channel"].to_numpy() % weight.shape[1]
    if targets.max() >= shape[0]:
        raise SpecError(f"The kernels of {name} are more than its shape {shape} holds.", _HINT)
    weight[targets, channels] = pc.list_flatten(kernels).to_numpy().reshape(-1, size)
    seen[targets, channels] = True
    if not seen.all():
        raise SpecError(f"The kernels of {name} are not all there.", _HINT)
    return torch.from_numpy(weight).reshape(shape)
