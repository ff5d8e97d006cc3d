"""A Network as numpy arrays, positions and feature maps: what the oracles compute on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cnngraph.errors import PlanError
from cnngraph.measures.measure import Scores

if TYPE_CHECKING:
    import pyarrow as pa

    from cnngraph.network.tables import Network

__all__ = ["MapArrays", "PositionArrays", "conv_layers", "map_arrays", "position_arrays"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PositionArrays:
    """n positions, a arcs, K classes.

    Attributes:
        layers: the conv layers that have positions, in network order.
        layer: (n,), index into ``layers``.
        activation: (n, K), the weight of every arc that leaves the position, per class; 0 where it is not known.
        activation_all: (n,), the same over all images alike; NaN where it is not known.
        source, target: (a,), 0-based rows of the arcs' ends.
    """

    layers: tuple[str, ...]
    layer: Ints
    activation: Floats
    activation_all: Floats
    source: Ints
    target: Ints

    @property
    def weight(self) -> Floats:
        """(a,), the arcs' weights as in the graph: the mean over the classes."""
        means: Floats = self.activation.mean(axis=1) if self.activation.shape[1] else np.zeros(len(self.layer))
        return means[self.source]

    def scores(self, value: Floats) -> Scores:
        """``value``, of shape (n,), as the scores of these positions."""
        return Scores(self.layers, self.layer, value)


@dataclass(frozen=True)
class MapArrays:
    """The n feature maps of the conv layers, K classes.

    Attributes:
        layers: the conv layers that have maps, in network order.
        layer: (n,), index into ``layers``. channel: (n,).
        l2: (n,), the L2 norm of the filter that makes the map.
        strength_in, strength_out: (n,), the weights of all connections that enter and leave it, stored or left out.
        activation: (n, K), its mean over places and images, per class.
    """

    layers: tuple[str, ...]
    layer: Ints
    channel: Ints
    l2: Floats
    strength_in: Floats
    strength_out: Floats
    activation: Floats

    def scores(self, value: Floats) -> Scores:
        """``value``, of shape (n,), as the scores of these maps."""
        return Scores(self.layers, self.layer, value)


def conv_layers(network: Network) -> tuple[str, ...]:
    """Names of the conv layers in network order."""
    rows = zip(
        network.layers["index"].to_pylist(),
        network.layers["layer"].to_pylist(),
        network.layers["kind"].to_pylist(),
        strict=True,
    )
    return tuple(layer for _, layer, kind in sorted(rows) if kind == "Conv")


def position_arrays(network: Network) -> PositionArrays:
    """The arrays of ``network``.

    Raises:
        PlanError: it was mapped without positions.
    """
    if not network.positions.num_rows:
        raise PlanError("The model has no positions.", "Ingest it with --view positions or --view both.")
    names = network.positions["layer"].to_pylist()
    present = set(names)
    layers = tuple(layer for layer in conv_layers(network) if layer in present)
    place = {layer: i for i, layer in enumerate(layers)}
    numbers = network.positions["number"].to_numpy()
    row = np.full(int(numbers.max()) + 1, -1)
    row[numbers] = np.arange(len(numbers))
    return PositionArrays(
        layers=layers,
        layer=np.array([place[name] for name in names]),
        activation=_lists(network.positions["activation"], network.classes.num_rows),
        activation_all=network.positions["activation_all"].to_numpy(zero_copy_only=False).astype(np.float64),
        source=row[network.arcs["source"].to_numpy()],
        target=row[network.arcs["target"].to_numpy()],
    )


def map_arrays(network: Network) -> MapArrays:
    """The arrays of the conv layers' maps.

    Raises:
        PlanError: the network was mapped without feature maps.
    """
    names = np.array(network.feature_maps["layer"].to_pylist(), dtype=object)
    present = set(names.tolist())
    layers = tuple(layer for layer in conv_layers(network) if layer in present)
    if not layers:
        raise PlanError("The model has no feature maps.", "Ingest it with --view channels or --view both.")
    place = {layer: i for i, layer in enumerate(layers)}
    table = network.feature_maps.filter(np.array([name in place for name in names]))
    return MapArrays(
        layers=layers,
        layer=np.array([place[name] for name in table["layer"].to_pylist()]),
        channel=table["channel"].to_numpy().astype(np.int64),
        l2=table["l2"].to_numpy(),
        strength_in=table["strength_in"].to_numpy(),
        strength_out=table["strength_out"].to_numpy(),
        activation=_lists(table["activation"], network.classes.num_rows),
    )


def _lists(column: pa.ChunkedArray, width: int) -> Floats:
    """A column of equally long lists as (n, width); a null is a row of zeros."""
    known = ~column.is_null().to_numpy(zero_copy_only=False).astype(bool)
    values = np.zeros((len(column), width))
    if width and known.any():
        flat = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
        values[known] = flat.reshape(-1, width)
    return values
